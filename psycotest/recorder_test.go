package psycotest_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
)

// recorder is a test to hand to DB, DSN and Mock, which can be looked at
// afterwards: it keeps the errors and does not end the real test.
type recorder struct {
	testing.TB // for what is not overridden
	cleanups   []func()
	errors     []string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return context.Background() }
func (r *recorder) Cleanup(f func())         { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool             { return len(r.errors) > 0 }
func (r *recorder) Error(args ...any)        { r.errors = append(r.errors, fmt.Sprint(args...)) }
func (r *recorder) Fatal(args ...any)        { r.Error(args...); runtime.Goexit() }

// example runs f as the body of a test, for examples, and prints its errors.
func example(f func(t testing.TB)) {
	for _, err := range run(f) {
		fmt.Println(err)
	}
}

// run runs f as a test of its own and returns its errors.
func run(f func(t testing.TB)) []string {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for i := len(r.cleanups) - 1; i >= 0; i-- {
				r.cleanups[i]()
			}
		}()
		f(r)
	}()
	<-done
	return r.errors
}
