CREATE SCHEMA IF NOT EXISTS webapp;

CREATE TABLE IF NOT EXISTS webapp.clients (
	id    int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name  text NOT NULL CONSTRAINT clients_name_length CHECK (char_length(name) BETWEEN 1 AND 100),
	email text NOT NULL CONSTRAINT clients_email_form CHECK (email ~ '^[^@\s]+@[^@\s]+$'),
	total numeric(12, 2) NOT NULL CONSTRAINT clients_total_range CHECK (total >= 0),
	-- Somewhere on earth it is tomorrow already.
	since date NOT NULL CONSTRAINT clients_since_past CHECK (since <= current_date + 1)
);

CREATE UNIQUE INDEX IF NOT EXISTS clients_email_key ON webapp.clients (lower(email));

-- Who did what is stored in the transaction that does it.
CREATE TABLE IF NOT EXISTS webapp.history (
	client_id int NOT NULL,
	at        timestamptz NOT NULL DEFAULT now(),
	action    text NOT NULL,
	details   jsonb
);

CREATE INDEX IF NOT EXISTS history_client ON webapp.history (client_id, at);
