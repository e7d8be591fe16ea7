"""Record how psycopg2 stores a table of values, for TestValuesAsPsycopg.

    python3 record.py 'host=/var/run/postgresql dbname=scratch' > psycopg2.json

Each value is inserted into a column of each type, the first being the one it
belongs to, and read back as the server's text and as Python's repr. The database needs the extension hstore and nothing else.
"""

import datetime as dt
import decimal
import ipaddress
import json
import sys
import uuid

import psycopg2
import psycopg2.extras
from psycopg2.extras import Json, NumericRange, DateRange, DateTimeTZRange

D = decimal.Decimal
UTC = dt.timezone.utc
CET = dt.timezone(dt.timedelta(hours=1))
NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=CET)
ID = uuid.UUID("12345678-9abc-def0-0102-030405060708")

TABLE = [
    ("none", None, ["int4", "text", "jsonb", "timestamptz"]),
    ("true", True, ["bool", "text"]),
    ("int", 42, ["int2", "int4", "int8", "numeric", "float8", "text"]),
    ("int beyond int4", 2**40, ["int8", "numeric", "float8", "text"]),
    ("int beyond int8", 2**64 - 1, ["numeric", "float8", "text"]),
    ("negative", -7, ["int4", "numeric", "text"]),
    ("float", 1.5, ["float4", "float8", "numeric", "text"]),
    ("nan", float("nan"), ["float8", "numeric"]),
    ("inf", float("-inf"), ["float8", "numeric"]),
    ("decimal", D("1.50"), ["numeric", "float8", "text"]),
    ("str", "it's \\ \"ok\"", ["text", "varchar", "bpchar"]),
    ("empty str", "", ["text"]),
    ("str as date", "2024-02-29", ["text", "date", "timestamp"]),
    ("str as json", '{"a": 1}', ["json", "jsonb", "text"]),
    ("str as number", "17", ["int4", "numeric", "text"]),
    ("bytes", b"\x00\xff'\\", ["bytea"]),
    ("empty bytes", b"", ["bytea"]),
    ("aware datetime", NOON, ["timestamptz", "timestamp", "date"]),
    ("utc datetime", NOON.astimezone(UTC), ["timestamptz", "timestamp"]),
    ("naive datetime", NOON.replace(tzinfo=None), ["timestamp", "date"]),
    ("date", dt.date(2024, 2, 29), ["date", "timestamp"]),
    ("timedelta", dt.timedelta(seconds=1), ["interval"]),
    ("negative timedelta", dt.timedelta(seconds=-1.5), ["interval"]),
    ("uuid", ID, ["uuid"]),
    ("ip address", ipaddress.ip_address("10.0.0.1"), ["inet"]),
    ("ip interface", ipaddress.ip_interface("10.0.0.1/8"), ["inet"]),
    ("ip network", ipaddress.ip_network("10.0.0.0/8"), ["cidr", "inet"]),
    ("list of int", [1, 2, 3], ["int2[]", "int4[]", "int8[]", "numeric[]", "text[]"]),
    ("list of float", [1.5, 2], ["float4[]", "float8[]", "numeric[]"]),
    ("list of str", ["a", "b c", 'd"e', "f\\g", "", "NULL"], ["text[]", "varchar[]"]),
    ("list with none", ["a", None], ["text[]"]),
    ("empty list", [], ["int4[]", "text[]"]),
    ("nested list", [[1, 2], [3, 4]], ["int4[]"]),
    ("list of bool", [True, False], ["bool[]"]),
    ("list of datetime", [NOON], ["timestamptz[]", "timestamp[]"]),
    ("list of date", [dt.date(2024, 2, 29)], ["date[]"]),
    ("list of uuid", [ID], ["uuid[]"]),
    ("list of bytes", [b"\x00\xff"], ["bytea[]"]),
    ("json", Json({"a": [1, None, "x"]}), ["json", "jsonb"]),
    ("int range", NumericRange(1, 10), ["int4range", "int8range", "numrange"]),
    ("closed range", NumericRange(1, 10, "[]"), ["int4range", "numrange"]),
    ("unbounded range", NumericRange(None, 10), ["int4range"]),
    ("empty range", NumericRange(empty=True), ["int4range"]),
    ("date range", DateRange(dt.date(2024, 1, 1), dt.date(2024, 2, 1)), ["daterange"]),
    ("datetime range", DateTimeTZRange(NOON, None), ["tstzrange"]),
    ("hstore", {"a": "1", 'b"': None}, ["hstore"]),
    ("tuple", (7, "a, b", None), ["value_triple"]),
]


def plain(value):
    """A memoryview shows its address, so show its bytes."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def main(dsn):
    conn = psycopg2.connect(dsn)
    cur = conn.cursor()
    cur.execute("SET timezone TO 'America/New_York'")
    cur.execute("CREATE TYPE value_triple AS (number int8, name text, at timestamptz)")
    psycopg2.extras.register_uuid()
    psycopg2.extras.register_ipaddress()
    psycopg2.extras.register_hstore(conn)
    psycopg2.extras.register_composite("value_triple", cur)
    cur.execute("SHOW server_version")
    record = {
        "psycopg2": psycopg2.__version__,
        "server": cur.fetchone()[0],
        "timezone": "America/New_York",
        "rows": [],
    }
    for name, value, types in TABLE:
        for typ in types:
            cur.execute("SAVEPOINT s")
            row = {"value": name, "type": typ}
            try:
                cur.execute(f"CREATE TEMP TABLE t (v {typ})")
                row["literal"] = cur.mogrify("%s", (value,)).decode()
                cur.execute("INSERT INTO t VALUES (%s)", (value,))
                cur.execute("SELECT v::text, v FROM t")
                row["text"], got = cur.fetchone()
                row["python"] = repr(plain(got))
            except psycopg2.Error as err:
                row["error"] = err.pgcode or str(err)
            record["rows"].append(row)
            cur.execute("ROLLBACK TO SAVEPOINT s")
    conn.rollback()
    json.dump(record, sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main(sys.argv[1])
