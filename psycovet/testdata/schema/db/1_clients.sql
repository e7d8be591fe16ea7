CREATE TABLE clients (
	id int PRIMARY KEY,
	name text NOT NULL,
	key uuid,
	born date,
	tags text[],
	data json,
	active bool
);
CREATE INDEX CONCURRENTLY ON clients (name);
