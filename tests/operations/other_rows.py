"""Valid traffic of batches and SOAP."""

from __future__ import annotations

import gzip

from operations.wire import Row, post

ENVELOPED = '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>%s</s:Body></s:Envelope>'
FAULT = "<s:Fault><faultcode>s:Client</faultcode><faultstring>no such order</faultstring></s:Fault>"
ENVELOPED_12 = '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body>%s</e:Body></e:Envelope>'
FAULT_12 = "<e:Fault><e:Code><e:Value>e:Sender</e:Value></e:Code><e:Reason><e:Text>no</e:Text></e:Reason></e:Fault>"
BATCHED = b"--b\r\nContent-Type: application/http\r\n\r\n%s\r\n\r\n{}\r\n"
BATCH = BATCHED % b"GET /orders/1 HTTP/1.1" + BATCHED % b"GET /orders/2 HTTP/1.1" + b"--b--\r\n"
ODATA_2_ERROR = b'{"error": {"code": "", "message": {"lang": "en", "value": "changed"}}}'
WITH_ATTACHMENTS = 'multipart/related; boundary=m; type="application/xop+xml"; start-info="application/soap+xml"'
ATTACHED = "--m\r\nContent-Type: application/xop+xml\r\n\r\n%s\r\n--m\r\nContent-Type: image/png\r\n\r\nx\r\n--m--\r\n"

OTHERS = [
    Row(
        "a bulk request of SCIM, of which a part failed",
        post(
            {"Operations": [{"method": "POST", "path": "/Users"}, {"method": "DELETE", "path": "/Users/7"}]},
            {"Operations": [{"status": "201"}, {"status": "404", "response": {"detail": "no user"}}]},
            path="/scim/v2/Bulk",
            request_type="application/scim+json",
            response_type="application/scim+json",
        ),
        {"protocol": "http-batch", "name": "SCIM Bulk", "count": 2, "failed": 1, "code": 404},
        "http-batch 404: no user",
    ),
    Row(
        "a bundle of FHIR, of which a part failed",
        post(
            {"resourceType": "Bundle", "type": "batch", "entry": [{"request": {"method": "GET", "url": "Patient/1"}}]},
            {
                "resourceType": "Bundle",
                "entry": [{"response": {"status": "404 Not Found", "outcome": {"issue": [{"diagnostics": "no"}]}}}],
            },
            path="/fhir",
            request_type="application/fhir+json",
            response_type="application/fhir+json",
        ),
        {"name": "FHIR Bundle", "count": 1, "failed": 1, "code": 404},
        "http-batch 404: no",
    ),
    Row(
        "a composite request of Salesforce, of which a part failed",
        post(
            {"compositeRequest": [{"method": "POST", "url": "/x"}]},
            {"compositeResponse": [{"body": [{"message": "no name", "errorCode": "X"}], "httpStatusCode": 400}]},
            path="/services/data/v61.0/composite",
        ),
        {"name": "composite", "count": 1, "failed": 1, "code": 400},
        "http-batch 400: no name",
    ),
    Row(
        "OData's batch",
        post(
            BATCH,
            (BATCHED % b"HTTP/1.1 200 OK" + BATCHED % b"HTTP/1.1 404 Not Found" + b"--b--\r\n"),
            path="/odata/$batch",
            request_type="multipart/mixed; boundary=b",
            response_type="multipart/mixed;boundary=b",
        ),
        {"protocol": "http-batch", "name": "$batch", "count": 2, "failed": 1, "outcome": "error", "code": 404},
        "http-batch 404: Not Found",
    ),
    Row(
        "OData's batch, all well",
        post(
            BATCH,
            (BATCHED % b"HTTP/1.1 200 OK" + BATCHED % b"HTTP/1.1 204 No Content" + b"--b--\r\n"),
            path="/odata/$batch",
            request_type="multipart/mixed; boundary=b",
            response_type="multipart/mixed;boundary=b",
        ),
        {"count": 2, "failed": 0, "outcome": "ok"},
    ),
    Row(
        "OData's batch, a set of changes in it failed",
        post(
            BATCH,
            b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n\r\n"
            b"HTTP/1.1 412 Precondition Failed\r\n\r\n{}\r\n--c--\r\n" + BATCHED % b"HTTP/1.1 200 OK" + b"--b--\r\n",
            path="/odata/$batch",
            request_type="multipart/mixed; boundary=b",
            response_type="multipart/mixed; boundary=b",
        ),
        {"count": 2, "failed": 1, "outcome": "error", "code": 412},
        "http-batch 412: Precondition Failed",
    ),
    Row(
        "OData's batch in JSON",
        post(
            {"requests": [{"id": "1", "method": "GET", "url": "x"}]},
            {"responses": [{"id": "1", "status": 409, "body": {"error": {"message": "changed"}}}]},
            path="/v4/$batch",
        ),
        {"name": "$batch", "count": 1, "failed": 1, "outcome": "error"},
        "http-batch 409: changed",
    ),
    Row(
        "a batch of OData of which an answer is missing",
        post(
            {"requests": [{"id": "1", "method": "GET", "url": "x"}, {"id": "2", "method": "GET", "url": "y"}]},
            {"responses": [{"id": "1", "status": 204}]},
            path="/v4/$batch",
        ),
        {"name": "$batch", "count": 2, "failed": 0, "outcome": "unknown"},
    ),
    Row(
        "SOAP 1.1 by its action",
        post(
            ENVELOPED % "<m:GetPrice xmlns:m='urn:m'/>",
            ENVELOPED % "<m:GetPriceResponse xmlns:m='urn:m'/>",
            request_type="text/xml",
            response_type="text/xml",
            headers={"soapaction": '"http://shop.example/GetPrice"'},
        ),
        {"protocol": "soap", "name": "GetPrice", "version": "1.1", "outcome": "ok"},
    ),
    Row(
        "SOAP 1.1 that failed with 200",
        post(
            ENVELOPED % "<Refund/>",
            ENVELOPED % FAULT,
            request_type="text/xml",
            response_type="text/xml",
            headers={"soapaction": '""'},
        ),
        {"name": "Refund", "outcome": "error", "code": "Client"},
        "soap Client: no such order",
    ),
    Row(
        "SOAP 1.2 that failed with 500",
        post(
            ENVELOPED_12 % "<Refund/>",
            ENVELOPED_12 % FAULT_12,
            status=500,
            request_type="application/soap+xml",
            response_type="application/soap+xml",
        ),
        {"name": "Refund", "version": "1.2", "outcome": "error", "code": "Sender"},
        "soap Sender: no",
    ),
    Row(
        "SOAP by the namespace alone",
        post(
            ENVELOPED % "<Get/>", ENVELOPED % "<Got/>", request_type="application/xml", response_type="application/xml"
        ),
        {"protocol": "soap", "name": "Get", "outcome": "ok"},
    ),
    Row(
        "a compressed batch of requests",
        post(
            gzip.compress(BATCH),
            (BATCHED % b"HTTP/1.1 200 OK" + BATCHED % b"HTTP/1.1 404 Not Found" + b"--b--\r\n"),
            path="/batch",
            request_type="multipart/mixed; boundary=b",
            request_coding="gzip",
            response_type="multipart/mixed; boundary=b",
        ),
        {"protocol": "http-batch", "count": 2, "failed": 1},
        "http-batch 404: Not Found",
    ),
    Row(
        "OData's batch in JSON, an answer without a status before the one that failed",
        post(
            {"requests": [{"id": "1"}, {"id": "2"}]},
            {"responses": [{"id": "1"}, {"id": "2", "status": 409, "body": {"error": {"message": "changed"}}}]},
            path="/v4/$batch",
        ),
        {"count": 2, "failed": 1, "outcome": "error"},
        "http-batch 409: changed",
    ),
    Row(
        "SOAP 1.2 with attachments",
        post(
            ATTACHED % (ENVELOPED_12 % "<Put/>"),
            ATTACHED % (ENVELOPED_12 % FAULT_12),
            request_type=WITH_ATTACHMENTS,
            response_type=WITH_ATTACHMENTS,
        ),
        {"protocol": "soap", "name": "Put", "version": "1.2", "outcome": "error"},
        "soap Sender: no",
    ),
    Row(
        "SOAP that answers with nothing",
        post(ENVELOPED % "<Put/>", ENVELOPED % "", request_type="text/xml", response_type="text/xml"),
        {"name": "Put", "outcome": "ok"},
    ),
    Row(
        "a batch in JSON whose statuses are texts",
        post({"requests": [{"id": "1"}]}, {"responses": [{"id": "1", "status": "404"}]}, path="/v4/$batch"),
        {"count": 1, "failed": 1, "outcome": "error", "code": 404},
        "http-batch 404: Not Found",
    ),
    Row(
        "OData's batch, an answer that says why it failed",
        post(
            BATCH,
            (BATCHED % b"HTTP/1.1 409 Conflict").replace(b"{}", ODATA_2_ERROR) + b"--b--\r\n",
            path="/odata/$batch",
            request_type="multipart/mixed; boundary=b",
            response_type="multipart/mixed; boundary=b",
        ),
        {"outcome": "error", "code": 409},
        "http-batch 409: changed",
    ),
    Row(
        "SOAP 1.1 that failed, its namespace the document's default",
        post(
            '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><Put xmlns="urn:x"/></Body></Envelope>',
            '<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body><Fault><faultcode>Client</faultcode>'
            "<faultstring>no such order</faultstring></Fault></Body></Envelope>",
            request_type="text/xml",
            response_type="text/xml",
        ),
        {"name": "Put", "outcome": "error", "code": "Client"},
        "soap Client: no such order",
    ),
]
