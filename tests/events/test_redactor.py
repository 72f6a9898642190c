"""What is looked through in which way, and what it looks like then: the redactor's own decisions."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from events.exchange import REDACTOR
from otas_middleware import OtasSettings
from otas_middleware._event.redact import MASK, redactor_for
from otas_middleware._event.redact.encodings import unescape_ascii
from otas_middleware._event.redact.spans import most

KEY = "Zk3vQ9xW7jT1bN5yR8mC2pL6"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class TestForm:
    """What was JSON before it was masked is JSON after it, and what stands between stays."""

    EVENTS = 'data: {"a": "<password>x", "b": 1}\n: pin=12\n\ndata: {"c": "<password>y", "d": 2}\n: by=hand\n\n'

    def test_lines_of_an_event_stream_are_masked_one_by_one(self) -> None:
        masked = REDACTOR.text(self.EVENTS)
        documents = [json.loads(line[5:]) for line in masked.splitlines() if line.startswith("data:")]
        assert documents == [{"a": f"<password>{MASK}", "b": 1}, {"c": f"<password>{MASK}", "d": 2}]
        assert masked.splitlines()[1:3] == [": pin=[REDACTED]", ""]
        assert masked.endswith("\n: by=hand\n\n")

    def test_lines_of_json_are_masked_one_by_one(self) -> None:
        lines = [{"a": "<token>x", "n": 1}, {"plain": "tea"}, {"a": "tea (", "b": [2]}, {"pin": 3}]
        masked = REDACTOR.text("\n".join(map(json.dumps, lines)) + "\n")
        assert [json.loads(line) for line in masked.splitlines()] == [
            {"a": f"<token>{MASK}", "n": 1},
            {"plain": "tea"},
            {"a": "tea (", "b": [2]},
            {"pin": MASK},
        ]

    def test_a_document_that_would_lose_its_form_is_masked_by_its_members(self) -> None:
        masked = json.loads(REDACTOR.text(json.dumps({"page": "<secret>x", "shipping": "fast", "pin": 1})))
        assert masked == {"page": f"<secret>{MASK}", "shipping": "fast", "pin": MASK}

    def test_so_is_json_within_json(self) -> None:
        inner = json.dumps({"page": "<secret>x", "shipping": "fast"})
        masked = json.loads(REDACTOR.text(json.dumps({"message": inner, "n": 1})))
        assert json.loads(masked["message"]) == {"page": f"<secret>{MASK}", "shipping": "fast"}
        assert masked["n"] == 1

    def test_a_list_of_more_secrets_than_anybody_writes_is_json_all_the_same(self) -> None:
        text = json.dumps([{"pin": number, "n": "x"} for number in range(4 * most(""))])
        masked = json.loads(REDACTOR.text(text))
        assert [row["pin"] for row in masked if "pin" in row][:3] == [MASK] * 3
        assert "77" not in json.dumps(masked)

    def test_the_rest_of_a_text_of_lines_is_masked_as_one_behind_so_many(self) -> None:
        text = '{"page": "<secret>x", "n": 1}\n' * 600 + "pin=12\n"
        masked = REDACTOR.text(text)
        assert "<secret>x" not in masked
        assert "pin=12" not in masked

    def test_strings_of_several_lines_are_looked_at_as_the_texts_that_they_are(self) -> None:
        text = json.dumps(
            {"csv": "id,password,n\n1,hunter2,x\n", "note": "a\nb", "é": "id,pin\n1,2\n"}, ensure_ascii=False
        )
        assert json.loads(REDACTOR.text(text)) == {
            "csv": f"id,password,n\n1,{MASK},x\n",
            "note": "a\nb",
            "é": f"id,pin\n1,{MASK}\n",
        }
        assert REDACTOR.text(text).startswith('{"csv": ')

    def test_such_a_string_that_is_cut_off_stays_cut_off(self) -> None:
        cut = json.dumps({"csv": "id,password,n\n1,hunter2,x\n2,hunter3,y\n"})[:-6]
        masked = REDACTOR.text(cut, cut=True)
        assert "hunter" not in masked
        assert masked.startswith('{"csv": "id,password,n\\n1,[REDACTED],x')
        assert not masked.endswith('"')


class TestEncodings:
    """What is encoded is decoded, looked through, and encoded again."""

    def test_a_text_that_is_encoded_too_often_is_masked_as_a_whole(self) -> None:
        text = "q=" + "password%3Dhunter2"
        for _ in range(12):
            text = "q=" + quote(text, safe="")
        masked = REDACTOR.text(text)
        assert masked.endswith(MASK)
        assert "hunter2" not in masked

    def test_a_text_that_is_encoded_a_few_times_keeps_what_is_no_secret(self) -> None:
        link = "https://h/?next=" + quote("/a?token=abc&page=2", safe="")
        assert REDACTOR.text(f"see {link} there") == f"see {link.replace('abc', MASK)} there"

    def test_blanks_of_a_query_within_a_text_may_be_written_as_plus(self) -> None:
        inner = json.dumps({"a": json.dumps({"password": "hunter2"}), "b": "x y"})
        assert "hunter2" not in REDACTOR.text(f"GET /?q={quote_plus(inner)} HTTP/1.1")

    def test_base64_of_a_text_is_masked_when_there_is_a_secret_in_it(self) -> None:
        secret, harmless = encoded("my password: hunter2, yes"), encoded("a Token of gratitude for all of you")
        assert REDACTOR.text(f"x={secret} y={harmless}") == f"x={MASK} y={harmless}"
        assert REDACTOR.text(f"=?utf-8?B?{secret}?= and =?utf-8?B?{harmless}?=") == f"{MASK} and =?utf-8?B?{harmless}?="

    def test_a_word_of_mail_in_quoted_printable_is_read(self) -> None:
        assert REDACTOR.text("=?utf-8?Q?password:_hunter2?=") == MASK
        assert REDACTOR.text("=?utf-8?q?token_of_love?= password=x") == f"=?utf-8?q?token_of_love?= password={MASK}"

    def test_names_in_other_scripts_are_found_however_they_are_written(self) -> None:
        for name in ("пароль", "\\u043f\\u0430\\u0440\\u043e\\u043b\\u044c", "%D0%BF%D0%B0%D1%80%D0%BE%D0%BB%D1%8C"):
            assert "hunter2" not in REDACTOR.text(f'{{"{name}": "hunter2"}}')

    @pytest.mark.parametrize("levels", [1, 2])
    def test_names_in_other_scripts_within_strings_are_found_and_stay_as_they_were_escaped(self, levels: int) -> None:
        document: object = {"note": "Ваш пароль: hunter2, не забудьте 😀", "é": "тест\u00a0"}
        expected: object = {"note": f"Ваш пароль: {MASK}, не забудьте 😀", "é": "тест\u00a0"}
        for _ in range(levels):
            document, expected = json.dumps(document), json.dumps(expected)
        assert REDACTOR.text(str(document)) == expected
        upper = '{"a": "\\u041F\\u0430\\u0440\\u043E\\u043B\\u044C: hunter2"}'
        assert REDACTOR.text(upper) == upper.replace("hunter2", MASK)


class TestPairs:
    """A query or form keeps everything but its secrets as it was sent."""

    def test_only_the_value_of_a_sensitive_name_changes(self) -> None:
        query = "a=1&token=abc&b=x%20y&pass%77ord=%70&empty=&password=&c"
        assert REDACTOR.pairs(query) == "a=1&token=[REDACTED]&b=x%20y&pass%77ord=[REDACTED]&empty=&password=&c"

    def test_what_a_value_holds_is_looked_through(self) -> None:
        query = "data=" + quote_plus(json.dumps({"pin": 12, "tea": "a b"}))
        masked = REDACTOR.pairs(query + "&n=1")
        assert masked.endswith("&n=1")
        assert masked == "data=" + quote_plus(json.dumps({"pin": MASK, "tea": "a b"}), safe="[]") + "&n=1"

    @pytest.mark.parametrize("document", ['{"pin": 12}', '[{"pin": 12}]', "<pin>12</pin>"])
    def test_another_format_under_this_content_type_is_looked_through_as_what_it_is(self, document: str) -> None:
        assert REDACTOR.pairs(document) == REDACTOR.text(document) != document

    def test_of_many_suspicious_values_the_last_are_masked_as_wholes(self) -> None:
        query = "&".join(f"a{number}=token%20is%20{KEY}" for number in range(400))
        masked = REDACTOR.pairs(query).split("&")
        assert masked[0] == f"a0=token%20is%20{MASK}"
        assert masked[-1] == f"a399={MASK}"

    def test_patterns_of_the_settings_see_every_value(self) -> None:
        redactor = redactor_for(OtasSettings(redact_patterns=("tea-[0-9]+",)))
        assert redactor.pairs("a=tea-12&b=x") == "a=[REDACTED]&b=x"
        assert redactor.finds_nothing("plain") is False


class TestNamed:
    """Headers, tables and paths."""

    def test_the_values_of_sensitive_headers_are_masked_and_others_are_not_looked_at(self) -> None:
        headers: dict[str, str | list[str]] = {
            "Cookie": ["a=1", "b=2"],
            "X-Api-Key": "k",
            "Accept": "token=x",
            "Token": MASK,
        }
        assert REDACTOR.by_name(headers) == {"Cookie": MASK, "X-Api-Key": MASK, "Accept": "token=x", "Token": MASK}
        assert headers["X-Api-Key"] == "k"

    def test_what_is_no_secret_by_its_form_stays_when_all_values_are(self) -> None:
        assert REDACTOR.by_name({"X-Token-Count": "5"}) == {"X-Token-Count": "5"}
        assert REDACTOR.by_name({"X-Csrf-Token": ["true", "abc"]}) == {"X-Csrf-Token": MASK}

    def test_an_id_that_ties_calls_together_has_a_fingerprint_whatever_its_characters(self) -> None:
        one, two = (REDACTOR.by_name({"Mcp-Session-Id": value})["Mcp-Session-Id"] for value in ("a\udc80", ["a\udc80"]))
        assert one == two
        assert str(one).startswith("[REDACTED ")

    def test_a_path_loses_what_the_settings_say(self) -> None:
        redactor = redactor_for(OtasSettings(redact_path_patterns=(r"/u/(\w+)/(?:x/(\w+))?", r"/only-\w+")))
        assert redactor.path("/u/ann/x/bob/z") == f"/u/{MASK}/x/{MASK}/z"
        assert redactor.path("/u/ann/z") == f"/u/{MASK}/z"
        assert redactor.path("/a/only-x") == f"/a{MASK}"
        assert redactor.finds_nothing("/plain") is False

    def test_the_keys_of_the_process_are_masked_whatever_they_look_like(self) -> None:
        redactor = redactor_for(OtasSettings(sdk_key="plain-words-only", session_secret="short"))
        assert redactor.text("we use plain-words-only, short") == f"we use {MASK}, short"


class TestStructure:
    """What stands beside a secret, and says what it is."""

    def test_a_list_of_passwords_is_no_list_of_complaints(self) -> None:
        assert REDACTOR.text('{"passwords": ["correct horse", "battery staple"]}') == f'{{"passwords": "{MASK}"}}'
        assert REDACTOR.value({"passwords": ["correct horse", "too short"]}) == {"passwords": MASK}
        for document in (
            {"password": ["is too short", "can't be blank"]},
            {"password": [{"message": "no", "code": 1}]},
        ):
            assert REDACTOR.value(document) == document
            assert REDACTOR.text(json.dumps(document)) == json.dumps(document)

    def test_only_what_looks_random_is_masked_under_a_name_that_mostly_is_no_secrets(self) -> None:
        for value in ("tea", "1" * 40, "user:12:profile", "2024-01-01T00:00:00Z", "deadbeef-is-a-word"):
            assert REDACTOR.text(json.dumps({"key": value, "token": "x"})) == json.dumps({"key": value, "token": MASK})
        for value in (KEY, "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "abcdefghijklmnopqrstuvw12xyzabcdefg3"):
            assert REDACTOR.text(json.dumps({"key": value})) == json.dumps({"key": MASK})

    def test_such_a_name_is_no_label(self) -> None:
        document = {"name": "code", "value": KEY, "token": "x"}
        assert REDACTOR.value(document) == {**document, "token": MASK}

    def test_a_section_ends_where_the_next_begins(self) -> None:
        text = '[secrets]\nfoo = "bar"\n\n[shipping]\nhow = "fast"\n'
        assert REDACTOR.text(text) == text.replace("bar", MASK)

    def test_an_element_labels_the_one_behind_it(self) -> None:
        text = "<fieldName>password</fieldName><text>hunter2</text><fieldName>colour</fieldName><text>blue</text>"
        assert REDACTOR.text(text) == text.replace("hunter2", MASK)
        text = "<fieldName>password</fieldName><colour>blue</colour>"
        assert REDACTOR.text(text) == text
        assert (
            REDACTOR.text("<key>password</key><b>blue</b></x><c>red</c>")
            == f"<key>password</key><b>{MASK}</b></x><c>red</c>"
        )

    def test_attributes_label_their_element(self) -> None:
        page = '<password>x</password><option name="colour" value="blue">red</option>\n'
        page += '<meta name="csrf-token" content="abc"><input name="q" value="tea">'
        assert REDACTOR.text(page) == page.replace(">x<", f">{MASK}<").replace("abc", MASK)
        assert REDACTOR.text(json.dumps({"page": page})) == json.dumps({"page": REDACTOR.text(page)})

    def test_columns_are_masked_and_their_neighbours_stay(self) -> None:
        document = {"columns": ["id", "pin", "n"], "rows": [["a", "12", "tea"], ["b", "34", "oil"]]}
        expected = {**document, "rows": [["a", MASK, "tea"], ["b", MASK, "oil"]]}
        assert REDACTOR.value(document) == expected
        assert json.loads(REDACTOR.text(json.dumps(document))) == expected
        assert REDACTOR.value([["id", "pin"], [1, 2], [3, 4]]) == [["id", "pin"], [1, MASK], [3, MASK]]
        assert REDACTOR.value([["X-Api-Key", "k"], ["Accept", "*"]]) == [["X-Api-Key", MASK], ["Accept", "*"]]

    def test_what_is_set_in_below_a_name_of_yaml_is_masked_unless_it_is_no_secret_there(self) -> None:
        assert REDACTOR.text("password:\n  a: b\n  c: d\nn: 1\n") == f"password:{MASK}\nn: 1\n"
        text = "key:\n  theme: dark\nsession:\n  title: Keynote\ntoken_usage:\n  total: 7\n"
        assert REDACTOR.text(text) == text

    def test_the_end_of_a_key_without_its_beginning_stays(self) -> None:
        text = "as in -----END PRIVATE KEY----- and no more"
        assert REDACTOR.text(text) == text
        twice = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----BEGIN PRIVATE KEY-----\nMIIF\n-----END PRIVATE KEY-----\nbye"
        assert REDACTOR.text(twice) == f"{MASK}{MASK}\nbye"

    def test_pydantics_long_values_are_masked_from_the_cut_on(self) -> None:
        text = "1 error\n  Input should be x [type=a, input_value={'name': 'x', ...rd': 'hunter2'}, input_type=dict]"
        assert REDACTOR.text(text) == text.replace("rd': 'hunter2'}", MASK)
        plain = "1 validation error\ntea\n  Input should be x [type=a, input_value='a long...text', input_type=str]"
        assert REDACTOR.text(plain) == plain

    def test_objects_before_a_key_keep_their_members(self) -> None:
        other, key = {"d": "abcdefghijklmnop"}, {"kty": "OKP", "d": "Zk3vQ9xW7jT1bN5yR8mC"}
        text = json.dumps({"a": other, "jwk": key})
        assert REDACTOR.text(text) == text.replace(key["d"], MASK)

    def test_items_of_yaml_are_objects_of_their_own(self) -> None:
        text = "- name: colour\n  value: blue\n- name: password\n  value: hunter2\n- name: size\n  value: 12\n"
        assert REDACTOR.text(text) == text.replace("hunter2", MASK)

    def test_cells_of_html_are_about_anything(self) -> None:
        text = f"<td>password</td><td>blue</td><td>password</td><td>{KEY}</td><td>colour</td><td>blue</td>"
        assert REDACTOR.text(text) == text.replace(KEY, MASK)

    def test_ids_that_tie_calls_together_have_fingerprints_in_xml_too(self) -> None:
        masked = REDACTOR.text("<Mcp-Session-Id>abc</Mcp-Session-Id>")
        assert masked.startswith("<Mcp-Session-Id>[REDACTED ")
        assert masked.endswith("]</Mcp-Session-Id>")

    def test_words_of_a_command_line_are_masked_behind_the_option_that_says_so(self) -> None:
        assert REDACTOR.value(["--password", "x", "tea"]) == ["--password", MASK, "tea"]
        assert REDACTOR.value(["--password=x", "tea"]) == [f"--password={MASK}", "tea"]
        assert REDACTOR.value(["password", "tea", "password", KEY]) == ["password", "tea", "password", MASK]

    def test_variables_of_graphql_are_those_of_their_own_request(self) -> None:
        query = "mutation($p: String!){login(password: $p){id}}"
        document = {"query": query, "variables": {"p": "x"}, "p": "tea", "extensions": {"p": "oil"}}
        assert REDACTOR.value(document) == {**document, "variables": {"p": MASK}}

    def test_columns_of_drawn_tables_are_masked_and_all_else_stays(self) -> None:
        markdown = "see\n\n| id | pin |\n|----|-----|\n| 1 | 12 |\n| 2 |  |\n\nthere | 7\n"
        assert REDACTOR.text(markdown) == markdown.replace("12", MASK)
        dashes = "id  pin  n\n--  ---  -\n1   12   x\n2   34   y\n\nbye\n"
        assert REDACTOR.text(dashes).splitlines()[2:] == [f"1   {MASK}   x", f"2   {MASK}   y", "", "bye"]
        titled = "pin\n---\nIt is small; the rest is not.\n"
        assert REDACTOR.text(titled) == titled


class TestPlaces:
    """Where a value begins and ends."""

    @pytest.mark.parametrize("size", [256, 2048])
    def test_a_value_beyond_the_part_in_which_its_name_stands_is_masked(self, size: int) -> None:
        for before in range(size - 12, size + 12):
            text = f"{'x ' * (before // 2)}{'y' * (before % 2)} key={KEY} z"
            assert REDACTOR.text(text) == text.replace(KEY, MASK)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("password: $secret(1)", "password: [REDACTED]"),
            ("password: hunter2:\nx: 1", "password: [REDACTED]\nx: 1"),
            ("a=1\npassword=\n  hunter2\nb=2\n", "a=1\npassword=\n  [REDACTED]\nb=2\n"),
            ("password = get_password()", "password = get_password()"),
            ("Old password:\nNew password:\n", "Old password:\nNew password:\n"),
            ("a secret internationalisation, a token authentication-required", None),
            ('{ "n": 4111111111111111, "m" : 1 }', '{ "n": "[REDACTED]", "m" : 1 }'),
            ("see W3siaWQiOjEsIm4iOjJ9XQ== there", "see [REDACTED] there"),
            ("user INTO t\nThe duplicate key value is (hunter2).", None),
            ("in index 'users_password'. The duplicate key value is (hunter2).", None),
        ],
    )
    def test_a_value_is_all_that_belongs_to_it_and_no_more(self, text: str, shown: str | None) -> None:
        expected = text.replace("(hunter2)", f"({MASK})") if "password'" in text else text
        assert REDACTOR.text(text) == (expected if shown is None else shown)

    def test_rows_of_a_dump_keep_their_other_cells(self) -> None:
        text = (
            "COPY users (name, password, note) FROM stdin;\nAnn Lee\thunter2\tlikes  tea\nBob\t\\N\t\n\\.\nbye  now\n"
        )
        assert REDACTOR.text(text) == text.replace("hunter2", MASK)

    def test_an_equals_sign_belongs_to_the_value(self) -> None:
        assert REDACTOR.pairs("pin=%31=2&a=b=c") == "pin=[REDACTED]&a=b=c"

    @pytest.mark.parametrize("levels", range(4))
    def test_escapes_are_undone_at_every_level_of_json_in_json(self, levels: int) -> None:
        text = r'{"\u0070\u0069n\u005cx\u0022": "\u0041\u005c\u005c", "é": "\u00e9"}'
        for _ in range(levels):
            text = json.dumps(text).replace("p", "\\u0070").replace("x", "\\u0078")
        plain = unescape_ascii(text)
        assert plain.count("u0070") == plain.count("u0078") == 0
        for _ in range(levels):
            text, plain = json.loads(text), json.loads(plain)
        assert json.loads(plain) == json.loads(text)

    @pytest.mark.parametrize("name", ["-\\", 'a"', 'b\\"', "c\\\\"])
    def test_an_object_of_flags_has_plain_names(self, name: str) -> None:
        assert REDACTOR.text(json.dumps({"mnemonic": {name: [None]}})) == json.dumps({"mnemonic": MASK})
        assert REDACTOR.text(json.dumps({"mnemonic": {"plain": [None]}})) == json.dumps({"mnemonic": {"plain": [None]}})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("signed in with password hunter2", f"signed in with password {MASK}"),
        ("wrong password 'hunter2'", f"wrong password '{MASK}'"),
        ('{"t": "Größe\\npassword: hunter2\\nb: 1"}', f'{{"t": "Größe\\npassword: {MASK}\\nb: 1"}}'),
        ('{"t": "a\\npassword: hunter2\\nb: \\', f'{{"t": "a\\npassword: {MASK}\\nb: \\'),
        ("id: live_123456789012345678901234", f"id: {MASK}"),
        (
            "INSERT INTO u (a, pin) VALUES ('x', 'y'),\n('z', NULL) ;",
            f"INSERT INTO u (a, pin) VALUES ('x', '{MASK}'),\n('z', '{MASK}') ;",
        ),
        (
            '{"q": "INSERT INTO u (a, pin) VALUES (1, 2),\\n(3, 4);"}',
            f"{{\"q\": \"INSERT INTO u (a, pin) VALUES (1, '{MASK}'),\\n(3, '{MASK}');\"}}",
        ),
        ("<a><password>Zq7 kX</password></a> npm get <key>", f"<a><password>{MASK}</password></a> npm get <key>"),
        ("run with <password>hunter2 or so\n<key> is next", f"run with <password>{MASK}\n<key> is next"),
        ("<a><credentials><user>ann</user>\n<pw>hun", f"<a><credentials>{MASK}"),
        (
            "h = {'X-Api-Key': os.environ['K'], 'token': 'x1'}",
            f"h = {{'X-Api-Key': os.environ['K'], 'token': '{MASK}'}}",
        ),
        ('{:api-key "x1", :user "ann"}', f'{{:api-key "{MASK}", :user "ann"}}'),
        ("user,user[pin]\nann,4928\n", f"user,user[pin]\nann,{MASK}\n"),
        (
            '{"key": {"type": "string", "default": "Zq7kXw2mPv9sLt4bRn8c"}}',
            '{"key": {"type": "string", "default": "Zq7kXw2mPv9sLt4bRn8c"}}',
        ),
        ('{"pin": {"type": "string", "default": "Zq7kXw2mPv9sLt4bRn8c"}}', f'{{"pin": "{MASK}"}}'),
        (
            '{"pin": {"type": "string", "default": "string", "example": "1234"}}',
            '{"pin": {"type": "string", "default": "string", "example": "1234"}}',
        ),
        (
            '{"a": "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "pin": 1}',
            f'{{"a": "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "pin": "{MASK}"}}',
        ),
        ("payload ZGI6CiAgcGFzc3dvcmQ6IFpxN2tYdz8_Pz4-Pj4K end", f"payload {MASK} end"),
    ],
)
def test_what_is_masked_and_what_stays_beside_it(text: str, shown: str) -> None:
    assert REDACTOR.text(text) == shown


def test_percent_signs_that_were_encoded_ten_thousand_times_are_looked_through_at_once() -> None:
    assert REDACTOR.pairs("a=%" + "25" * 10_000 + "70x=y").startswith("a=")
    assert REDACTOR.pairs("a=%" + "25" * 40 + "70assword%3Dhunter2").endswith("70assword%3D[REDACTED]")


SAID = [
    "my password's HIDDEN",
    "log in as ann with the password HIDDEN, please",
    "Use HIDDEN as the password",
    "username ann, password HIDDEN",
    "the password for the admin account is HIDDEN",
    "set my passphrase to HIDDEN",
    "my pwd was HIDDEN !",
    "the new password will be `HIDDEN`",
    "Le mot de passe est HIDDEN, das Passwort lautet HIDDEN",
    "비밀번호는 HIDDEN",
    "Your password is <b>HIDDEN</b>",
    '<p>Your temporary password is <strong class="x">HIDDEN</strong></p>',
    "password 2: HIDDEN",
    "VPN (password) -> HIDDEN",
]


@pytest.mark.parametrize("text", SAID)
def test_a_password_that_is_told_in_prose_is_masked(text: str) -> None:
    told = text.replace("HIDDEN", "hunter2")
    assert REDACTOR.text(told) == text.replace("HIDDEN", MASK)
    for said in ({"content": told}, {"content": json.dumps({"content": told})}):
        assert "hunter2" not in REDACTOR.text(json.dumps(said))


@pytest.mark.parametrize("word", ["s3cret", "p4ssw0rd", "k1tt3n", "auth1234", "web2hunter", "base1234", "2024summer"])
def test_a_password_that_looks_like_a_word_of_engineers_is_masked(word: str) -> None:
    for text in (f"my password is {word}", f"the password '{word}' was rejected", f"password - {word}"):
        assert word not in REDACTOR.text(text)
        assert word not in REDACTOR.text(json.dumps({"content": text}))


@pytest.mark.parametrize(
    "text",
    [
        "Your password is: <code>HIDDEN</code>",
        "<password> HIDDEN <user>ann",
        "call function login(user: ann, password: HIDDEN)",
        "token: the new one is HIDDEN",
        '{"backup_codes": [{"code": "HIDDEN"}, {"code": "abc12"}]}',
        '{"x": "use <password>: HIDDEN"}',
        "password_hint: it is HIDDEN",
        "password: correct horse HIDDEN. Please change it.",
        "password: opensesame. Please change it.",
        '{"password": "It is HIDDEN. Please set it."}',
        '{"password": "is HIDDEN"}',
        "token: ZqXwPvLtRnBcKmJhGfDs expires soon",
        "the password qWeRtYuIoPaSdFgHjKlZ is wrong",
        "the password 'abc12' is wrong",
        "Your login token is 492817",
        "my password is P@ss:w0rd9",
        "<password>#P9xy\n<user>ann\n",
        "if (cvv == 492) return;",
        "foo -u ann -h db -p HIDDEN -x",
    ],
)
def test_prose_and_code_around_a_secret_do_not_make_it_readable(text: str) -> None:
    told = text.replace("HIDDEN", "hunter2")
    masked = REDACTOR.text(told) + (str(REDACTOR.value(json.loads(told))) if told.startswith("{") else "")
    words = ("hunter2", "opensesame", "ZqXw", "qWeR", "abc12", "492", "w0rd9", "P9xy")
    assert not any(word in masked for word in words), masked


@pytest.mark.parametrize(
    "text",
    [
        "use the key HIDDEN to log in",
        "API key HIDDEN",
        "the key is HIDDEN.",
        "send x-api-key with value HIDDEN",
        "my session id is HIDDEN",
        "the seed phrase is (HIDDEN)",
        "wg set wg0 private-key HIDDEN",
    ],
)
def test_a_key_that_is_told_in_prose_is_masked(text: str) -> None:
    assert "Zq7kXw2mPv9sLt4bRn8c" not in REDACTOR.text(text.replace("HIDDEN", "Zq7kXw2mPv9sLt4bRn8c"))


@pytest.mark.parametrize(
    "text", ["my PIN is 4928", "use PIN 4928", "cvv 492", "2FA code 492817", "492817 is your code"]
)
def test_a_code_that_is_told_in_prose_is_masked(text: str) -> None:
    assert MASK in REDACTOR.text(text)
    assert "492" not in REDACTOR.text(text)
