package compat

import (
	"errors"
	"testing"
	"time"

	"github.com/lib/pq"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/psycotest"
)

type Author struct {
	ID        uint `gorm:"primarykey"`
	CreatedAt time.Time
	Name      string
	Email     *string `gorm:"uniqueIndex"`
	Avatar    []byte
	Tags      pq.StringArray                 `gorm:"type:text[]"`
	Settings  *psyco.JSON[map[string]string] `gorm:"type:jsonb"`
	Books     []Book
}

type Book struct {
	ID       uint
	AuthorID uint
	Title    string `gorm:"size:100"`
	Pages    int    `gorm:"check:pages > 0;default:1"`
}

func TestGORM(t *testing.T) {
	dsn := psycotest.DSN(t)
	db, err := gorm.Open(postgres.New(postgres.Config{DriverName: "psyco", DSN: dsn}), &gorm.Config{TranslateError: true})
	must(t, err)
	testGORM(t, db)
}

// A pool that is open already is given as Conn. DriverName has to be there too:
// without it GORM puts an option for pgx among the arguments.
func TestGORMConn(t *testing.T) {
	pool := open(t)
	db, err := gorm.Open(postgres.New(postgres.Config{DriverName: "psyco", Conn: pool}), &gorm.Config{TranslateError: true})
	must(t, err)
	testGORM(t, db)
}

func TestGORMConfigs(t *testing.T) {
	for name, tt := range map[string]struct {
		gorm     gorm.Config
		postgres postgres.Config
	}{
		"prepared statements":    {gorm: gorm.Config{PrepareStmt: true}},
		"no transactions":        {gorm: gorm.Config{SkipDefaultTransaction: true}},
		"batches":                {gorm: gorm.Config{CreateBatchSize: 2}},
		"prefer simple protocol": {postgres: postgres.Config{PreferSimpleProtocol: true}}, // for pgx: has no effect
	} {
		t.Run(name, func(t *testing.T) {
			tt.gorm.TranslateError = true
			tt.postgres.DriverName, tt.postgres.DSN = "psyco", psycotest.DSN(t)
			db, err := gorm.Open(postgres.New(tt.postgres), &tt.gorm)
			must(t, err)
			testGORM(t, db)
		})
	}
}

func testGORM(t *testing.T, db *gorm.DB) {
	db.Logger = logger.Discard
	pool, err := db.DB()
	must(t, err)
	t.Cleanup(func() { must(t, pool.Close()) })
	for range 2 { // the second time the migrator compares columns
		must(t, db.AutoMigrate(&Author{}, &Book{}))
	}
	email := "info@acme.co"
	a := Author{
		Name: "50% off", Email: &email, Avatar: []byte{0, 255}, Tags: pq.StringArray{"a", `"b"`},
		Settings: &psyco.JSON[map[string]string]{V: map[string]string{"k": "v"}},
		Books:    []Book{{Title: "x"}, {Title: "%s"}, {Title: "$1"}},
	}
	must(t, db.Create(&a).Error)
	var got []Author
	must(t, db.Preload("Books").Where("name LIKE ?", "50%").Where("id IN ?", []uint{1, 2}).Find(&got).Error)
	if len(got) != 1 || len(got[0].Books) != 3 || *got[0].Email != email || got[0].Avatar[1] != 255 ||
		got[0].Tags[1] != `"b"` || got[0].Settings.V["k"] != "v" || !got[0].CreatedAt.Equal(a.CreatedAt.Round(time.Microsecond)) {
		t.Fatalf("got %+v", got)
	}
	gormTransactions(t, db, &a)
	gormErrors(t, db, &a)
	gormUpsert(t, db)
	gormMigrator(t, db)
}

func gormTransactions(t *testing.T, db *gorm.DB, a *Author) {
	mine := errors.New("mine")
	must(t, db.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Model(a).Update("name", "outer").Error)
		if err := tx.Transaction(func(tx *gorm.DB) error { // a savepoint
			must(t, tx.Model(a).Update("name", "inner").Error)
			return mine
		}); err != mine {
			t.Fatalf("got %v", err)
		}
		if db.PrepareStmt { // the ConnPool prepares all statements
			return nil
		}
		// psyco's functions in a transaction of GORM.
		_, err := psyco.CopyRows(ctx, tx.Statement.ConnPool, psyco.Identifier{"books"}, []string{"author_id", "title"},
			psyco.SliceRows([][]any{{a.ID, "copied"}}))
		return err
	}))
	must(t, db.First(a, a.ID).Error)
	if a.Name != "outer" {
		t.Fatalf("name is %q", a.Name)
	}
	if err := db.First(a, 999).Error; err != gorm.ErrRecordNotFound {
		t.Fatalf("got %v", err)
	}
}

// gormErrors looks at TranslateError, which reads the code of any error that
// encoding/json shows it in.
func gormErrors(t *testing.T, db *gorm.DB, a *Author) {
	if err := db.Create(&Author{Name: "z", Email: a.Email}).Error; !errors.Is(err, gorm.ErrDuplicatedKey) {
		t.Fatalf("got %v, want gorm.ErrDuplicatedKey", err)
	}
	if err := db.Create(&Book{AuthorID: 999}).Error; !errors.Is(err, gorm.ErrForeignKeyViolated) {
		t.Fatalf("got %v, want gorm.ErrForeignKeyViolated", err)
	}
	if err := db.Create(&Book{AuthorID: a.ID, Pages: -1}).Error; !errors.Is(err, gorm.ErrCheckConstraintViolated) {
		t.Fatalf("got %v, want gorm.ErrCheckConstraintViolated", err)
	}
	var pe *pq.Error // what is not translated stays as it is
	if err := db.Exec("SELECT 1 / ?::int", 0).Error; !errors.As(err, &pe) || pe.Code != "22012" {
		t.Fatalf("got %v, want a division by zero", err)
	}
}

func gormUpsert(t *testing.T, db *gorm.DB) {
	email := "upsert@acme.co"
	for _, name := range []string{"first", "second"} {
		must(t, db.Clauses(clause.OnConflict{
			Columns:   []clause.Column{{Name: "email"}},
			DoUpdates: clause.AssignmentColumns([]string{"name"}),
		}).Create(&Author{Name: name, Email: &email}).Error)
	}
	var back []Author
	must(t, db.Model(&back).Clauses(clause.Returning{}).Where("email = @email", map[string]any{"email": email}).
		Update("name", gorm.Expr("name || ?", "!")).Error)
	if len(back) != 1 || back[0].Name != "second!" {
		t.Fatalf("got %+v", back)
	}
	books := make([]Book, 500)
	for i := range books {
		books[i] = Book{AuthorID: back[0].ID, Title: "book", Pages: i + 1}
	}
	must(t, db.CreateInBatches(books, 200).Error)
	found := 0
	must(t, db.Where("author_id = ?", back[0].ID).FindInBatches(&[]Book{}, 150, func(tx *gorm.DB, _ int) error {
		found += int(tx.RowsAffected)
		return nil
	}).Error)
	if found != len(books) {
		t.Fatalf("found %d of %d", found, len(books))
	}
}

// gormMigrator changes a column and renames another.
func gormMigrator(t *testing.T, db *gorm.DB) {
	type Book struct {
		ID       uint
		AuthorID uint
		Heading  string `gorm:"size:200;not null;default:'none'"`
		Pages    int64  `gorm:"index;comment:how many"`
	}
	m := db.Migrator()
	must(t, m.RenameColumn(&Book{}, "title", "heading"))
	must(t, db.AutoMigrate(&Book{}))
	must(t, m.AlterColumn(&Book{}, "Heading"))
	if !m.HasTable(&Book{}) || m.HasTable("nothing") || !m.HasColumn(&Book{}, "heading") || !m.HasIndex(&Book{}, "Pages") {
		t.Fatal("the migrator does not find what it made")
	}
	types, err := m.ColumnTypes(&Book{})
	must(t, err)
	for _, c := range types {
		length, _ := c.Length()
		if typ, _ := c.ColumnType(); c.Name() == "heading" && (length != 200 || typ != "character varying(200)") {
			t.Fatalf("heading is %s, %d", typ, length)
		}
	}
	must(t, m.DropTable(&Book{}))
}
