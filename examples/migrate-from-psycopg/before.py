"""A program written for psycopg2; after.go and after_sessions.go are the same for psyco.

    python3 before.py 'dbname=test user=alice password=secret host=localhost'

It works in a schema of its own, which is gone when it ends, and prints what it
reads. The server's max_prepared_transactions must allow two-phase commit.
"""

import json
import os
import select
import sys
import tempfile
import threading
from contextlib import closing
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from io import StringIO

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extras import Json, NumericRange, execute_values

schema = "migrate_from_psycopg"
dsn = sys.argv[1]


def connect():
    return closing(psycopg2.connect(dsn, options="-c search_path=" + schema))


def show(value):
    print(json.dumps(value, separators=(",", ":")))


def connecting(_):
    conn = psycopg2.connect(dsn)
    cur = conn.cursor()
    cur.execute("SELECT 6 * 7")
    print(cur.fetchone()[0])
    cur.close()
    conn.close()


def parameters(conn):
    cur = conn.cursor()
    cur.execute("INSERT INTO clients (name, email) VALUES (%s, %s)", ("Hooli", "hi@hooli.example"))
    cur.execute("SELECT email FROM clients WHERE name = %(name)s", {"name": "Hooli"})
    email = cur.fetchone()[0]
    print(email)

    cur.execute("SELECT name FROM clients WHERE id IN %s ORDER BY id", ((1, 2, 3),))
    for (name,) in cur:
        print(name)

    cur.execute("SELECT count(*) FROM clients WHERE email LIKE '%%.example' AND id > %s", (1,))
    print(cur.fetchone()[0])

    cur.execute("SELECT %(word)s || ' or not ' || %(word)s", {"word": "to be"})
    print(cur.fetchone()[0])

    bobby = "Robert'); DROP TABLE clients;--"
    cur.execute("INSERT INTO clients (name) VALUES (%s) RETURNING name", (bobby,))
    print(cur.fetchone()[0])


def composition(conn):
    cur = conn.cursor()
    query = sql.SQL("SELECT {} FROM {} WHERE id = %s").format(sql.Identifier("name"), sql.Identifier(schema, "clients"))
    cur.execute(query, (2,))
    print(cur.fetchone()[0])
    text = cur.mogrify("SELECT %s, %s", (7, "it's"))
    print(text.decode())


def values(conn):
    cur = conn.cursor()
    cur.execute("SELECT %s, %s, %s, %s * 2", (None, True, 14, 1.25))
    nothing, yes, number, half = cur.fetchone()
    show([nothing, yes, number, float(half)])

    cur.execute("SELECT %s::int[], %s::interval, %s", ([1, 2], timedelta(hours=36), Decimal("1.50")))
    numbers, wait, price = cur.fetchone()
    show([numbers, int(wait.total_seconds()), str(price)])

    cur.execute("SELECT %s::text[], %s::int[]", (["it's", None], [[1, 2], [3, 4]]))
    words, rows = cur.fetchone()
    show([words, rows])

    cur.execute("SELECT %s::bytea", (b"\x00\xff",))
    print(bytes(cur.fetchone()[0]).hex())

    cur.execute("SELECT %s::jsonb -> 'size'", (Json({"size": 14}),))
    print(cur.fetchone()[0])

    cur.execute("SELECT %s::int4range @> %s", (NumericRange(1, 10), 9))
    show(cur.fetchone()[0])

    cur.execute("SELECT name FROM clients WHERE (id, name) IN %s", (((2, "Globex"), (3, "Globex")),))
    print(cur.fetchall()[0][0])


def dates(conn):
    cur = conn.cursor()
    cur.execute("INSERT INTO clients (name, since) VALUES (%s, %s) RETURNING since", ("Wonka", date(1971, 6, 30)))
    print(cur.fetchone()[0].isoformat())

    noon = datetime(2024, 2, 29, 12, 0, tzinfo=timezone.utc)
    cur.execute("SELECT %s + %s", (noon, timedelta(minutes=90)))
    print(cur.fetchone()[0].astimezone(timezone.utc).isoformat())

    cur.execute("SELECT %s::timestamp", (datetime(2024, 2, 29, 12, 0),))
    print(cur.fetchone()[0].isoformat())


def copy(conn):
    with open("clients.csv", "w") as f:
        f.write("name,email\nStark,tony@stark.example\nWayne,\n")

    cur = conn.cursor()
    with open("clients.csv") as f:
        cur.copy_expert("COPY clients (name, email) FROM STDIN (FORMAT csv, HEADER)", f)
    print(cur.rowcount)
    with open("report.csv", "w") as f:
        cur.copy_expert("COPY (SELECT name, email FROM clients ORDER BY id) TO STDOUT (FORMAT csv)", f)
    with open("report.csv") as f:
        print(f.read(), end="")

    rows = StringIO("Hooli\t2020-01-01\nUmbrella\t\\N\n")
    cur.copy_from(rows, "clients", columns=("name", "since"))
    print(cur.rowcount)


def many_rows(conn):
    cur = conn.cursor()
    cur.executemany("UPDATE clients SET total = %s WHERE id = %s", [(10, 1), (20, 2)])
    execute_values(cur, "INSERT INTO clients (name, email) VALUES %s", [("Hooli", None), ("Umbrella", None)])
    ids = execute_values(cur, "INSERT INTO clients (name) VALUES %s RETURNING id", [("Stark",), ("Wayne",)], fetch=True)
    show([id for (id,) in ids])

    cur.execute("SELECT sum(total), count(*) FROM clients")
    print(*cur.fetchone())


def transactions(conn):
    cur = conn.cursor()
    with conn:
        cur.execute("UPDATE clients SET total = total - %s WHERE id = %s", (50, 1))
        cur.execute("UPDATE clients SET total = total + %s WHERE id = %s", (50, 2))
    try:
        with conn:
            cur.execute("DELETE FROM clients")
            raise RuntimeError("on second thoughts")
    except RuntimeError as e:
        print(e)

    cur.execute("UPDATE clients SET total = 0")
    conn.rollback()

    cur.execute("INSERT INTO clients (name) VALUES (%s)", ("Hooli",))
    conn.commit()

    cur.execute("SELECT name, total FROM clients ORDER BY id")
    for name, total in cur:
        print(name, total)
    conn.rollback()


def isolation(conn):
    conn.set_session(isolation_level="SERIALIZABLE", readonly=True, deferrable=True)
    cur = conn.cursor()
    cur.execute("SHOW transaction_isolation")
    print(cur.fetchone()[0])
    try:
        cur.execute("DELETE FROM clients")
    except psycopg2.errors.ReadOnlySqlTransaction as e:
        print(e.pgcode)
    conn.rollback()


def autocommit(conn):
    conn.autocommit = True
    cur = conn.cursor()
    cur.execute("VACUUM clients")
    show(conn.info.transaction_status == TRANSACTION_STATUS_IDLE)


def errors(conn):
    cur = conn.cursor()
    try:
        cur.execute("INSERT INTO clients (email) VALUES (%s)", ("info@acme.co",))
    except psycopg2.errors.UniqueViolation as e:
        print(e.pgcode, e.diag.constraint_name)


def savepoints(conn):
    cur = conn.cursor()
    cur.execute("SAVEPOINT try_it")
    try:
        cur.execute("INSERT INTO clients (email) VALUES (%s)", ("info@acme.co",))
        cur.execute("RELEASE try_it")
    except psycopg2.errors.UniqueViolation:
        cur.execute("ROLLBACK TO try_it")
    cur.execute("UPDATE clients SET total = 0 WHERE id = %s", (3,))
    conn.commit()
    print(cur.rowcount)


def server_side_cursors(conn):
    total = 0
    cur = conn.cursor("big")
    cur.itersize = 1000
    cur.execute("SELECT i FROM generate_series(1, %s) i", (5000,))
    for (i,) in cur:
        total += i
    print(total)
    cur.close()

    cur = conn.cursor("big", scrollable=True)
    cur.execute("SELECT i FROM generate_series(1, %s) i", (5000,))
    cur.scroll(99)
    row = cur.fetchone()
    print(row[0])
    cur.scroll(0, mode="absolute")
    rows = cur.fetchmany(3)
    show([i for (i,) in rows])
    cur.close()

    cur = conn.cursor()
    cur.execute("DECLARE theirs CURSOR FOR SELECT i * i FROM generate_series(3, 9) i")
    theirs = conn.cursor("theirs")
    row = theirs.fetchone()
    print(row[0])


def threads(conn):
    names = [None] * 3

    def work(i):
        with conn.cursor() as cur:
            cur.execute("SELECT name FROM clients WHERE id = %s", (i + 1,))
            names[i] = cur.fetchone()[0]

    workers = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    show(names)


def large_objects(conn):
    lob = conn.lobject(0, "rwb")
    lob.write(b"hello, world")
    lob.seek(7)
    rest = lob.read()
    lob.truncate(5)
    lob.seek(0)
    print(rest.decode(), lob.read().decode())
    lob.close()
    conn.lobject(lob.oid).unlink()

    with open("logo.png", "wb") as f:
        f.write(b"\x89PNG")
    lob = conn.lobject(0, "rwb", 0, "logo.png")
    lob.export("copy.png")
    with open("copy.png", "rb") as f:
        print(f.read().hex())
    conn.rollback()


def two_phase(conn):
    order = "order-%d" % conn.info.backend_pid
    cur = conn.cursor()
    xid = conn.xid(42, order, "warehouse")
    conn.tpc_begin(xid)
    cur.execute("UPDATE clients SET total = total + %s WHERE id = %s", (1, 1))
    conn.tpc_prepare()
    conn.reset()
    waiting = conn.tpc_recover()
    show([x.bqual for x in waiting if x.gtrid == order])
    conn.tpc_commit(xid)

    cur.execute("SELECT total FROM clients WHERE id = %s", (1,))
    print(cur.fetchone()[0])


def notifications(conn):
    conn.autocommit = True
    cur = conn.cursor()
    cur.execute("LISTEN jobs")
    with connect() as other, other:
        other.cursor().execute("NOTIFY jobs, %s", ("wash the dishes",))
    while True:
        select.select([conn], [], [])
        conn.poll()
        while conn.notifies:
            n = conn.notifies.pop(0)
            print(n.channel, n.payload)
            return


def notices(conn):
    cur = conn.cursor()
    cur.execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
    print(conn.notices[-1].strip())


SECTIONS = [
    connecting, parameters, composition, values, dates, copy, many_rows, transactions, isolation, autocommit, errors, savepoints,
    server_side_cursors, threads, large_objects, two_phase, notifications, notices,
]


def execute(statement):
    with connect() as conn, conn:
        conn.cursor().execute(statement)


def main():
    execute("CREATE schema " + schema)
    try:
        with tempfile.TemporaryDirectory() as directory:
            os.chdir(directory)
            for section in SECTIONS:
                execute("""
                    DROP TABLE IF EXISTS clients;
                    CREATE TABLE clients (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name text,
                        email text CONSTRAINT clients_email_key UNIQUE, since date, total numeric NOT NULL DEFAULT 0);
                    INSERT INTO clients (name, email, since) VALUES
                        ('ACME Corp.', 'info@acme.co', '2020-01-01'),
                        ('Globex', 'hello@globex.example', '2021-06-30'),
                        ('Initech', 'office@initech.example', '2022-02-22')""")
                print("# " + section.__name__.replace("_", " "))
                with connect() as conn:
                    section(conn)
            os.chdir("/")
    finally:
        execute("DROP schema " + schema + " CASCADE")


if __name__ == "__main__":
    main()
