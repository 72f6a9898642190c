"""Valid traffic of Amazon's services, by each of their protocols."""

from __future__ import annotations

import json
import struct
import zlib

from operations.wire import Row, post

AMZ = "application/x-amz-json-1.0"
FORM = "application/x-www-form-urlencoded"
SENT = {"Entries": [{"Id": "a", "MessageBody": "x"}, {"Id": "b", "MessageBody": "y"}]}


def amazon(headers: dict[str, str], payload: object) -> bytes:
    """Return a message of an event stream of Amazon's."""
    named = b"".join(
        bytes((len(name),)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", 16 + len(named) + len(body), len(named))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + body
    return message + struct.pack(">I", zlib.crc32(message))


def query(asked: str, answer: str, **more: object) -> dict[str, object]:
    """Return a form that is answered with XML."""
    return post(asked, answer, request_type=FORM, response_type="text/xml", **more)


AWS = [
    Row(
        "AWS by its target",
        post(
            {"TableName": "t"},
            {"Item": {}},
            request_type=AMZ,
            response_type=AMZ,
            headers={"x-amz-target": "DynamoDB_20120810.GetItem"},
        ),
        {"protocol": "aws", "name": "DynamoDB.GetItem", "method": "GetItem", "target": "DynamoDB", "outcome": "ok"},
    ),
    Row(
        "AWS that refuses",
        post(
            {},
            {"__type": "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException", "message": "no table"},
            request_type=AMZ,
            response_type=AMZ,
            status=400,
            headers={"x-amz-target": "DynamoDB_20120810.GetItem"},
        ),
        {"outcome": "error", "code": "ResourceNotFoundException"},
        "aws ResourceNotFoundException: no table",
    ),
    Row(
        "a batch of AWS with a list of those that failed",
        post(
            SENT,
            {"Successful": [{"Id": "a"}], "Failed": [{"Id": "b", "Code": "InternalError", "Message": "try again"}]},
            request_type=AMZ,
            response_type=AMZ,
            headers={"x-amz-target": "AmazonSQS.SendMessageBatch"},
        ),
        {"name": "AmazonSQS.SendMessageBatch", "count": 2, "failed": 1, "outcome": "partial", "code": "InternalError"},
        "aws InternalError: try again",
    ),
    Row(
        "a batch of AWS of which all failed",
        post(
            SENT,
            {"Successful": [], "Failed": [{"Id": "b", "Code": "InternalError", "Message": "try again"}]},
            request_type=AMZ,
            response_type=AMZ,
            headers={"x-amz-target": "AmazonSQS.SendMessageBatch"},
        ),
        {"count": 1, "failed": 1, "outcome": "error"},
        "aws InternalError: try again",
    ),
    Row(
        "a query of SNS of which a part failed",
        query(
            "Action=PublishBatch&Version=2010-03-31",
            "<PublishBatchResponse><PublishBatchResult><Failed><member><Id>b</Id><Code>Bad</Code><Message>no</Message>"
            "</member></Failed><Successful><member><Id>a</Id></member></Successful></PublishBatchResult>"
            "</PublishBatchResponse>",
        ),
        {"count": 2, "failed": 1, "outcome": "partial", "code": "Bad"},
        "aws Bad: no",
    ),
    Row(
        "a query of EC2 that was refused",
        query(
            "Action=DescribeInstances&Version=2016-11-15",
            "<Response><Errors><Error><Code>InvalidInstanceID.NotFound</Code><Message>none</Message></Error></Errors>"
            "<RequestID>1</RequestID></Response>",
            status=400,
        ),
        {"outcome": "error", "code": "InvalidInstanceID.NotFound"},
        "aws InvalidInstanceID.NotFound: none",
    ),
    Row(
        "a query of AWS that something before it refused",
        query("Action=GetUser&Version=2010-05-08", "<html>busy</html>", status=503),
        {"outcome": "error"},
        "503 Service Unavailable",
    ),
    Row(
        "a batch of AWS with a count of those that failed",
        post(
            {},
            {
                "FailedRecordCount": 1,
                "Records": [{"SequenceNumber": "1"}, {"ErrorCode": "Throttled", "ErrorMessage": "x"}],
            },
            request_type="application/x-amz-json-1.1",
            response_type="application/x-amz-json-1.1",
            headers={"x-amz-target": "Kinesis_20131202.PutRecords"},
        ),
        {"name": "Kinesis.PutRecords", "outcome": "partial", "code": "Throttled"},
        "aws Throttled: x",
    ),
    Row(
        "a query of AWS",
        query(
            "Action=SendMessage&Version=2012-11-05&MessageBody=x",
            "<SendMessageResponse><SendMessageResult><MessageId>1</MessageId></SendMessageResult></SendMessageResponse>",
        ),
        {"protocol": "aws", "name": "SendMessage", "version": "2012-11-05", "outcome": "ok"},
    ),
    Row(
        "a query of AWS of which a part failed",
        query(
            "Action=SendMessageBatch&Version=2012-11-05",
            "<SendMessageBatchResponse><SendMessageBatchResult><SendMessageBatchResultEntry><Id>a</Id>"
            "</SendMessageBatchResultEntry><BatchResultErrorEntry><Id>b</Id><Code>Bad</Code>"
            "<Message>no</Message></BatchResultErrorEntry></SendMessageBatchResult></SendMessageBatchResponse>",
        ),
        {"count": 2, "failed": 1, "outcome": "partial", "code": "Bad"},
        "aws Bad: no",
    ),
    Row(
        "a query of AWS that was refused",
        query(
            "Action=GetUser&Version=2010-05-08",
            '<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
            "<Code>NoSuchEntity</Code><Message>no user</Message></Error></ErrorResponse>",
            status=404,
        ),
        {"outcome": "error", "code": "NoSuchEntity"},
        "aws NoSuchEntity: no user",
    ),
    Row(
        "a function of Lambda that raised",
        post(
            {},
            {"errorMessage": "bad id", "errorType": "ValueError"},
            path="/2015-03-31/functions/refund/invocations",
            response_headers=(("x-amz-function-error", "Unhandled"),),
        ),
        {"protocol": "aws", "name": "Invoke", "target": "refund", "outcome": "error", "code": "ValueError"},
        "aws ValueError: bad id",
    ),
    Row(
        "a copy of S3 that broke off after its 200",
        post(
            None,
            "<Error><Code>InternalError</Code><Message>try again</Message></Error>",
            method="PUT",
            path="/bucket/key",
            response_type="application/xml",
            response_headers=(("x-amz-request-id", "1"),),
        ),
        {"protocol": "aws", "name": "CopyObject", "outcome": "error", "code": "InternalError"},
        "aws InternalError: try again",
    ),
    Row(
        "deletions of S3 of which one failed",
        post(
            "<Delete/>",
            "<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code>"
            "<Message>no</Message></Error></DeleteResult>",
            query="delete",
            response_type="application/xml",
            response_headers=(("x-amz-request-id", "1"),),
        ),
        {"name": "DeleteObjects", "outcome": "partial", "code": "AccessDenied"},
        "aws AccessDenied: no",
    ),
]
AMAZON = "application/vnd.amazon.eventstream"
SAID = amazon({":event-type": "contentBlockDelta", ":message-type": "event"}, {"delta": {"text": "a" * 40}})
THROTTLED = amazon({":exception-type": "throttlingException", ":message-type": "exception"}, {"message": "slow down"})
EVENTS = [
    Row(
        "a stream of Bedrock's",
        post(None, SAID * 3, path="/model/m/converse-stream", response_type=AMAZON),
        {"protocol": "amazon-events", "type": "stream", "outcome": "ok"},
    ),
    Row(
        "a stream of Bedrock's that ended with an exception",
        post(None, SAID * 3 + THROTTLED, path="/model/m/converse-stream", response_type=AMAZON),
        {"outcome": "error", "code": "throttlingException"},
        "amazon-events throttlingException: slow down",
    ),
    Row(
        "a long stream of Bedrock's that ended with an exception",
        post(None, SAID * 3_000 + THROTTLED, path="/model/m/converse-stream", response_type=AMAZON),
        {"outcome": "error", "code": "throttlingException"},
        "amazon-events throttlingException: slow down",
    ),
    Row(
        "a stream of Amazon's that ended with an error of the connection",
        post(
            None,
            SAID + amazon({":message-type": "error", ":error-code": "Internal", ":error-message": "broke"}, {}),
            response_type=AMAZON,
        ),
        {"outcome": "error", "code": "Internal"},
        "amazon-events Internal: broke",
    ),
]
AMAZONS = [*AWS, *EVENTS]
