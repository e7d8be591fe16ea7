package psyco

import (
	"context"
	"crypto/md5"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/psyco-go/psyco/internal/saslprep"
	"github.com/psyco-go/psyco/internal/scram"
)

// EncryptPassword returns what the server stores for a user's password, for CREATE ROLE
// and ALTER ROLE … PASSWORD: a statement with the password itself would leave it in the
// server's log and in pg_stat_activity. method is scram-sha-256, of which each call
// returns another text, or md5, which is for servers before PostgreSQL 10 and clients that
// cannot do better. [ChangePassword] takes the server's own choice (libpq:
// PQencryptPasswordConn).
func EncryptPassword(password, user, method string) (string, error) {
	encrypted, err := encryptPassword(context.Background(), password, user, method, scram.Iterations)
	if err != nil {
		return "", fmt.Errorf("psyco: EncryptPassword: %w", err)
	}
	return encrypted, nil
}

func encryptPassword(ctx context.Context, password, user, method string, iterations int) (string, error) {
	switch {
	case password == "":
		return "", errors.New("an empty password lets nobody in; PASSWORD NULL takes one away")
	case strings.IndexByte(password, 0) >= 0:
		return "", errors.New("the password has a NUL byte, which nobody could log in with")
	case user == "":
		return "", errors.New("there is no user whose password it would be")
	}
	switch method {
	case "scram-sha-256":
		var salt [scram.SaltSize]byte
		rand.Read(salt[:]) // never fails, see crypto/rand
		return scram.Verifier(ctx, saslprep.Prepare(password), salt[:], iterations)
	case "md5":
		sum := md5.Sum([]byte(password + user))
		return "md5" + hex.EncodeToString(sum[:]), nil
	}
	return "", fmt.Errorf("unknown method %q: use scram-sha-256 or md5", method)
}

// ChangePassword changes a user's password. The password does not leave the program: what
// goes to the server, and into its log, is the verifier that it stores, made by the method
// of its password_encryption (libpq: PQchangePassword). In a transaction the change comes
// with the commit.
func ChangePassword(ctx context.Context, h Handle, user, password string) error {
	name := Identifier{user}
	if err := name.check(); err != nil {
		return fmt.Errorf("psyco: ChangePassword: %w", err)
	}
	method, iterations, err := passwordEncryption(ctx, h)
	if err != nil {
		return err
	}
	encrypted, err := encryptPassword(ctx, password, user, method, iterations)
	if err != nil {
		return fmt.Errorf("psyco: ChangePassword: %w", err)
	}
	_, err = h.ExecContext(ctx, "ALTER USER "+name.String()+" PASSWORD '"+encrypted+"'")
	return err
}

// passwordEncryption asks how the server stores passwords.
func passwordEncryption(ctx context.Context, h Handle) (method string, iterations int, err error) {
	const query = "SELECT pg_catalog.current_setting('password_encryption'), pg_catalog.current_setting('scram_iterations', true)"
	rows, err := h.QueryContext(ctx, query)
	if err != nil {
		return "", 0, err
	}
	defer rows.Close()
	var count sql.NullString // from PostgreSQL 16 on
	for rows.Next() {
		if err := rows.Scan(&method, &count); err != nil {
			return "", 0, err
		}
	}
	if err := rows.Err(); err != nil {
		return "", 0, err
	}
	if method == "on" || method == "off" { // before PostgreSQL 14
		method = "md5"
	}
	if !count.Valid {
		return method, scram.Iterations, nil
	}
	if iterations, err = strconv.Atoi(count.String); err != nil || iterations < 1 {
		return "", 0, fmt.Errorf("psyco: ChangePassword: the server's scram_iterations is %q, which is not a number of iterations", count.String)
	}
	return method, iterations, nil
}
