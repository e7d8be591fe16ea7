package compat

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

type Album struct {
	ID       int64 `bun:",pk,autoincrement"`
	Title    string
	Released time.Time
	Cover    []byte
	Genres   []string          `bun:",array"`
	Ratings  []int             `bun:",array"`
	Notes    map[string]string `bun:"type:jsonb"`
	Tracks   []*Track          `bun:"rel:has-many,join:id=album_id"`
}

type Track struct {
	ID      int64 `bun:",pk,autoincrement"`
	AlbumID int64
	Title   string `bun:",unique"`
}

func TestBun(t *testing.T) {
	dsn := psycotest.DSN(t)
	pool, err := sql.Open("psyco", dsn)
	must(t, err)
	db := bun.NewDB(pool, pgdialect.New())
	defer db.Close()

	must(t, db.ResetModel(ctx, (*Album)(nil), (*Track)(nil)))
	albums := []Album{
		{Title: `100% 's \ %s $1 ?`, Released: time.Now(), Cover: []byte{0, 255}, Genres: []string{"a", `b"\`}, Notes: map[string]string{"k": "%(x)s"}},
		{Title: "other", Ratings: []int{1, 2}},
	}
	_, err = db.NewInsert().Model(&albums).Exec(ctx)
	must(t, err)
	tracks := []*Track{{AlbumID: albums[0].ID, Title: "x"}, {AlbumID: albums[0].ID, Title: "y"}}
	_, err = db.NewInsert().Model(&tracks).Exec(ctx)
	must(t, err)

	// bun writes the arguments into the text itself: no % in it is a placeholder.
	var got []Album
	must(t, db.NewSelect().Model(&got).Relation("Tracks").
		Where("title LIKE '100%%' OR title LIKE ?", "%s%").
		Where("id IN (?)", bun.In([]int64{albums[0].ID, albums[1].ID})).
		Where("id % 2 = 1").
		Where("genres && ?", pgdialect.Array([]string{"a"})).
		Scan(ctx))
	a := albums[0]
	if len(got) != 1 || got[0].Title != a.Title || got[0].ID != a.ID || got[0].Cover[1] != 255 || len(got[0].Tracks) != 2 ||
		!slices.Equal(got[0].Genres, a.Genres) || got[0].Notes["k"] != "%(x)s" || !got[0].Released.Equal(a.Released.Truncate(time.Microsecond)) {
		t.Fatalf("got %+v", got)
	}
	_, err = db.NewInsert().Model(&Track{ID: tracks[0].ID, Title: "z"}).On("CONFLICT (id) DO UPDATE").Set("title = EXCLUDED.title").Exec(ctx)
	must(t, err)
	bunTransactions(t, db, tracks)

	// psyco's own functions take the *sql.DB and *sql.Tx inside.
	n, err := psyco.CopyRows(ctx, db.DB, psyco.Identifier{"tracks"}, []string{"album_id", "title"}, psyco.SliceRows([][]any{{7, "copied"}}))
	must(t, err)
	if count, err := db.NewSelect().Model((*Track)(nil)).Where("album_id = ?", 7).Count(ctx); err != nil || n != 1 || count != 1 {
		t.Fatalf("loaded %d, there are %d, %v", n, count, err)
	}
	if err := psyco.WithConn(ctx, db, func(*psyco.Conn) error { return nil }); err == nil || !strings.Contains(err.Error(), "*sql.DB") {
		t.Errorf("WithConn with bun's own handle: %v", err)
	}
}

func bunTransactions(t *testing.T, db *bun.DB, tracks []*Track) {
	mine := errors.New("mine")
	must(t, db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := tx.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error { // a savepoint
			_, err := tx.NewUpdate().Model(tracks[1]).Set("title = ?", "inner").WherePK().Exec(ctx)
			must(t, err)
			return mine
		}); err != mine {
			t.Fatalf("got %v", err)
		}
		_, err := psyco.ExecMany(ctx, tx.Tx, "INSERT INTO tracks (title) VALUES (%s)", psyco.SliceRows([][]any{{"many"}}))
		must(t, err)
		_, err = tx.NewUpdate().Model((*Track)(nil)).Set("album_id = album_id + ?", 100).Where("title = ?", "y").Exec(ctx)
		return err
	}))
	moved, err := db.NewSelect().Model((*Track)(nil)).Where("album_id > ?", 100).Count(ctx)
	must(t, err)
	if moved != 1 {
		t.Fatalf("%d tracks were moved", moved)
	}
	_, err = db.NewInsert().Model(&Track{Title: "y"}).Exec(ctx)
	var pe *pq.Error
	if !errors.As(err, &pe) || pe.Code != "23505" {
		t.Fatalf("got %v, want a unique violation", err)
	}
}
