# strawberry-graphql 0.341.2 (graphql-core 3.3.2): of several operations without `operationName` it runs the first.
#
# The specification (6.1, GetOperation) makes that a request error, and graphql-core alone, ariadne 1.1.1 and the servers
# in JavaScript answer "Must provide operation name if query contains multiple operations." A client that forgets the name
# is told at once. Strawberry's `schema.execute`, and so each of its views, answers 200 with the result of whichever
# operation stands first: a mutation that was only one of the document's, meant for another button, is carried out.
#   strawberry: {'refund': 42} (the refund was made); graphql-core, same schema and document: an error, nothing made
# Exits 1 when that changes.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/pip" install --quiet --disable-pip-version-check strawberry-graphql==0.341.2 graphql-core==3.3.2
cat > "$work/run.py" <<'PYTHON'
import strawberry
from graphql import build_schema, graphql_sync

made = []


def refund() -> int:
    made.append(42)
    return 42


@strawberry.type
class Query:
    status: str = "open"


@strawberry.type
class Mutation:
    refund: int = strawberry.mutation(resolver=refund)


DOCUMENT = "mutation Refund { refund } query Status { status }"
answer = strawberry.Schema(Query, Mutation).execute_sync(DOCUMENT, root_value=Query())
print("strawberry:", answer.data, "errors:", answer.errors, "made:", made)

core = build_schema("type Query { status: String } type Mutation { refund: Int }")
plain = graphql_sync(core, DOCUMENT, {"refund": lambda info: refund()})
print("graphql-core:", plain.data, "errors:", [error.message for error in plain.errors or ()], "made:", made)
raise SystemExit(answer.data != {"refund": 42} or answer.errors is not None or not plain.errors or made != [42])
PYTHON
"$work/env/bin/python" "$work/run.py"
