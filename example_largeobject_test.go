package psyco_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"strings"

	"github.com/psyco-go/psyco"
	"github.com/psyco-go/psyco/internal/pgserver"
)

// exampleServer opens a database for an example.
func exampleServer(opts ...psyco.Option) (*psyco.Connector, *sql.DB) {
	server, err := pgserver.Shared(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	connector, err := psyco.NewConnector(server.DSN(), opts...)
	if err != nil {
		log.Fatal(err)
	}
	return connector, sql.OpenDB(connector)
}

// inExample runs an example in a transaction and leaves nothing behind.
func inExample(example func(tx *sql.Tx) error) {
	_, db := exampleServer()
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	if err := example(tx); err != nil {
		log.Fatal(err)
	}
}

// A file goes into the database and comes out again.
func ExampleLargeObjects() {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		store := psyco.LargeObjects(tx)
		oid, err := store.Import(ctx, strings.NewReader("a very long film"))
		if err != nil {
			return err
		}
		_, err = store.Export(ctx, oid, os.Stdout)
		return err
	})
	// Output: a very long film
}

func ExampleLargeObjectStore() {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		store := psyco.LargeObjects(tx)
		oid, err := store.Create(ctx, 0)
		if err != nil {
			return err
		}
		if _, err := tx.Exec("CREATE TEMPORARY TABLE films (name text, content oid)"); err != nil {
			return err
		}
		_, err = tx.Exec("INSERT INTO films VALUES (%s, %s)", "Metropolis", oid)
		fmt.Println(err)
		return nil
	})
	// Output: <nil>
}

func ExampleLargeObjectStore_Create() {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		oid, err := psyco.LargeObjects(tx).Create(ctx, 4711000)
		fmt.Println(oid, err)
		return nil
	})
	// Output: 4711000 <nil>
}

func ExampleLargeObjectStore_Open() {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		o, err := psyco.LargeObjects(tx).Open(ctx, 0, psyco.LargeObjectReadWrite) // 0: a new one
		if err != nil {
			return err
		}
		defer o.Close()
		fmt.Fprint(o, "hello, world")
		if _, err := o.Seek(7, io.SeekStart); err != nil {
			return err
		}
		rest, err := io.ReadAll(o)
		fmt.Printf("%s\n", rest)
		return err
	})
	// Output: world
}

func ExampleLargeObjectStore_Unlink() {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		store := psyco.LargeObjects(tx)
		oid, err := store.Create(ctx, 0)
		if err != nil {
			return err
		}
		fmt.Println(store.Unlink(ctx, oid))
		return nil
	})
	// Output: <nil>
}

func ExampleLargeObjectStore_Import() {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		oid, err := psyco.LargeObjects(tx).Import(ctx, strings.NewReader("content"))
		fmt.Println(oid > 0, err)
		return nil
	})
	// Output: true <nil>
}

func ExampleLargeObjectStore_Export() {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		store := psyco.LargeObjects(tx)
		oid, err := store.Import(ctx, strings.NewReader("content"))
		if err != nil {
			return err
		}
		var b strings.Builder
		n, err := store.Export(ctx, oid, &b)
		fmt.Println(n, b.String())
		return err
	})
	// Output: 7 content
}

// withObject runs an example on a large object that holds "hello, world".
func withObject(mode psyco.LargeObjectMode, example func(o *psyco.LargeObject) error) {
	ctx := context.Background()
	inExample(func(tx *sql.Tx) error {
		store := psyco.LargeObjects(tx)
		oid, err := store.Import(ctx, strings.NewReader("hello, world"))
		if err != nil {
			return err
		}
		o, err := store.Open(ctx, oid, mode)
		if err != nil {
			return err
		}
		defer o.Close()
		return example(o)
	})
}

func ExampleLargeObjectMode() {
	withObject(psyco.LargeObjectRead, func(o *psyco.LargeObject) error {
		_, err := o.Write([]byte("x"))
		fmt.Println(err != nil)
		return nil
	})
	// Output: true
}

func ExampleLargeObject() {
	withObject(psyco.LargeObjectReadWrite, func(o *psyco.LargeObject) error {
		if _, err := o.WriteAt([]byte("H"), 0); err != nil {
			return err
		}
		_, err := io.Copy(os.Stdout, o)
		return err
	})
	// Output: Hello, world
}

func ExampleLargeObject_OID() {
	withObject(psyco.LargeObjectRead, func(o *psyco.LargeObject) error {
		fmt.Println(o.OID() > 0) // what a table keeps
		return nil
	})
	// Output: true
}

func ExampleLargeObject_Read() {
	withObject(psyco.LargeObjectRead, func(o *psyco.LargeObject) error {
		p := make([]byte, 5)
		n, err := o.Read(p)
		fmt.Printf("%s\n", p[:n])
		return err
	})
	// Output: hello
}

func ExampleLargeObject_ReadAt() {
	withObject(psyco.LargeObjectRead, func(o *psyco.LargeObject) error {
		p := make([]byte, 10)
		n, err := o.ReadAt(p, 7)
		fmt.Printf("%s %v\n", p[:n], err)
		return nil
	})
	// Output: world EOF
}

func ExampleLargeObject_WriteTo() {
	withObject(psyco.LargeObjectRead, func(o *psyco.LargeObject) error {
		_, err := o.WriteTo(os.Stdout) // as io.Copy does
		return err
	})
	// Output: hello, world
}

func ExampleLargeObject_Write() {
	withObject(psyco.LargeObjectReadWrite, func(o *psyco.LargeObject) error {
		_, err := o.Write([]byte("HELLO"))
		fmt.Println(o.Tell())
		return err
	})
	// Output: 5
}

func ExampleLargeObject_WriteAt() {
	withObject(psyco.LargeObjectReadWrite, func(o *psyco.LargeObject) error {
		if _, err := o.WriteAt([]byte("W"), 7); err != nil {
			return err
		}
		_, err := o.WriteTo(os.Stdout)
		return err
	})
	// Output: hello, World
}

func ExampleLargeObject_ReadFrom() {
	withObject(psyco.LargeObjectReadWrite, func(o *psyco.LargeObject) error {
		n, err := o.ReadFrom(strings.NewReader("Hello, moon!")) // as io.Copy does
		fmt.Println(n)
		return err
	})
	// Output: 12
}

func ExampleLargeObject_Seek() {
	withObject(psyco.LargeObjectRead, func(o *psyco.LargeObject) error {
		position, err := o.Seek(-5, io.SeekEnd)
		fmt.Println(position)
		return err
	})
	// Output: 7
}

func ExampleLargeObject_Tell() {
	withObject(psyco.LargeObjectRead, func(o *psyco.LargeObject) error {
		_, err := io.ReadFull(o, make([]byte, 3))
		fmt.Println(o.Tell())
		return err
	})
	// Output: 3
}

func ExampleLargeObject_Size() {
	withObject(psyco.LargeObjectRead, func(o *psyco.LargeObject) error {
		size, err := o.Size()
		fmt.Println(size)
		return err
	})
	// Output: 12
}

func ExampleLargeObject_Truncate() {
	withObject(psyco.LargeObjectReadWrite, func(o *psyco.LargeObject) error {
		if err := o.Truncate(5); err != nil {
			return err
		}
		_, err := o.WriteTo(os.Stdout)
		return err
	})
	// Output: hello
}

func ExampleLargeObject_Close() {
	withObject(psyco.LargeObjectRead, func(o *psyco.LargeObject) error {
		if err := o.Close(); err != nil {
			return err
		}
		_, err := o.Read(make([]byte, 1))
		fmt.Println(errors.Is(err, fs.ErrClosed))
		return nil
	})
	// Output: true
}
