CREATE TABLE bills (
	id     bigserial PRIMARY KEY,
	client int NOT NULL REFERENCES clients,
	amount numeric NOT NULL
);
CREATE INDEX ON bills (client);
