-- +goose Up
-- +goose StatementBegin
CREATE TABLE orders (id bigint, client int REFERENCES clients, total numeric(10,2));
-- +goose StatementEnd

-- +goose Down
DROP TABLE orders;
