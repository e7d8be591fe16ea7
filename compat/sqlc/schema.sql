CREATE TYPE state AS ENUM ('open', 'paid');

CREATE TABLE client (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL,
	email text UNIQUE,
	tags text[] NOT NULL DEFAULT '{}',
	settings jsonb NOT NULL DEFAULT '{}',
	state state NOT NULL DEFAULT 'open',
	created_at timestamptz NOT NULL DEFAULT now()
);
