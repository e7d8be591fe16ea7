package placeholder

import "testing"

func BenchmarkBindNamed(b *testing.B) {
	q, err := Rewrite("UPDATE clients SET name = %(name)s, email = %(email)s WHERE id = %(id)s", Auto)
	if err != nil {
		b.Fatal(err)
	}
	for name, v := range map[string]any{
		"map": map[string]any{"name": "a", "email": "b", "id": 1},
		"struct": struct {
			Name, Email string
			ID          int
		}{"a", "b", 1},
	} {
		args := values(v)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := q.Bind(args); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
