/*
 * What libpq makes of connection strings: the program that recorded
 * parse.txt and connect.txt.
 *
 *   cc -I$(pg_config --includedir) -o libpq libpq.c -lpq
 *
 * Arguments: "parse" or "connect". Standard input: connection strings, each
 * ended by a NUL byte. Standard output: for each string either
 * "error\0" message "\0\0", or "ok\0" and keyword "\0" value "\0" for every
 * option that has a value, and "\0".
 *
 * "parse" is PQconninfoParse. "connect" is PQconnectdb, with everything that
 * the environment and service files add; it expects that nobody listens.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <libpq-fe.h>

static void put(const char *s)
{
	fwrite(s, 1, strlen(s) + 1, stdout);
}

static void answer(PQconninfoOption *opts, const char *error)
{
	if (opts == NULL)
	{
		put("error");
		put(error);
	}
	else
	{
		put("ok");
		for (PQconninfoOption *o = opts; o->keyword; o++)
			if (o->val)
			{
				put(o->keyword);
				put(o->val);
			}
	}
	put("");
	PQconninfoFree(opts);
}

int main(int argc, char **argv)
{
	char	   *line = NULL;
	size_t		size = 0;
	int			connect = argc > 1 && strcmp(argv[1], "connect") == 0;

	fprintf(stderr, "%d\n", PQlibVersion());
	while (getdelim(&line, &size, '\0', stdin) > 0)
	{
		if (connect)
		{
			PGconn	   *conn = PQconnectdb(line);
			const char *msg = PQerrorMessage(conn);
			/* A failed attempt is a good sign: all options were accepted. */
			int			tried = strncmp(msg, "connection to server", 20) == 0 &&
				strstr(msg, "invalid ") == NULL && strstr(msg, "could not parse") == NULL;

			answer(tried ? PQconninfo(conn) : NULL, msg);
			PQfinish(conn);
		}
		else
		{
			char	   *err = NULL;
			PQconninfoOption *opts = PQconninfoParse(line, &err);

			answer(opts, err ? err : "");
			PQfreemem(err);
		}
	}
	return 0;
}
