-- name: CreateClient :one
INSERT INTO client (name, email, tags, settings) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: ListClients :many
SELECT * FROM client WHERE id = ANY($1::bigint[]) AND name LIKE '%' || sqlc.arg(part)::text || '%' ORDER BY id;

-- name: RenameClient :exec
UPDATE client SET name = coalesce(sqlc.narg(name), name) WHERE id = @id;

-- name: Pay :execrows
UPDATE client SET state = 'paid' WHERE state = $1 AND id % 2 = 1;

-- name: DeleteClient :execresult
DELETE FROM client WHERE id = $1;
