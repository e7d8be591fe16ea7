"""What psycopg2 does in each row of the README's table: prints it in a word.

Usage: compare_psycopg2.py DSN see        all rows but the last three
       compare_psycopg2.py DSN query N    N times a query with an argument
       compare_psycopg2.py DSN tx N       N times a transaction with three statements
"""
import io
import sys

import psycopg2


def placeholders(cur):
    cur.execute("SELECT %s::int", (7,))
    one = cur.fetchone() == (7,)
    cur.execute("SELECT %(n)s::int", {"n": 7})
    return one and cur.fetchone() == (7,)


def in_list(cur):
    cur.execute("SELECT count(*) FROM account WHERE id IN %s", ((1, 2, 3),))
    return cur.fetchone() == (3,)


def open_rows(cur):
    cur.execute("SELECT id FROM account ORDER BY id")
    rows = [cur.fetchone() for _ in range(3)]
    with cur.connection.cursor() as other:
        other.execute("UPDATE account SET balance = balance WHERE id = %s", (1,))
    return len(rows + cur.fetchall()) == 10000


def copy_out(cur):
    out = io.StringIO()
    cur.copy_expert("COPY (SELECT 1) TO STDOUT", out)
    return out.getvalue() == "1\n"


def runs(dsn):
    with psycopg2.connect(dsn) as conn, conn.cursor() as cur:
        cur.execute("CREATE SEQUENCE runs")
    broken = psycopg2.connect(dsn)
    try:
        broken.cursor().execute("SELECT nextval('runs'), pg_terminate_backend(pg_backend_pid()), pg_sleep(1)")
    except psycopg2.Error:
        pass
    with psycopg2.connect(dsn) as conn, conn.cursor() as cur:
        cur.execute("SELECT last_value FROM runs")
        n, = cur.fetchone()
        cur.execute("DROP SEQUENCE runs")
    return n


def main(dsn, what, times="0"):
    if what == "see":
        for see in placeholders, in_list, open_rows, copy_out:
            with psycopg2.connect(dsn) as conn, conn.cursor() as cur:
                print("yes" if see(cur) else "no")
        print(runs(dsn))
        return
    conn = psycopg2.connect(dsn)
    conn.autocommit = what == "query"
    cur = conn.cursor()
    for _ in range(int(times)):
        if what == "query":
            cur.execute("SELECT id FROM account WHERE id = %s", (7,))
            cur.fetchone()
            continue
        for _ in range(3):
            cur.execute("UPDATE account SET balance = balance + %s WHERE id = %s", (0, 1))
        conn.commit()


main(*sys.argv[1:])
