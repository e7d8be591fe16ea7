package psyco

import (
	"slices"

	"github.com/psyco-go/psyco/internal/sqllex"
)

// harmless are functions without side effects that long results are often made
// of. A name that is missing here costs time only, see readsOnly.
var harmless = []string{
	"abs", "array_agg", "avg", "cast", "ceil", "coalesce", "concat", "count", "cume_dist", "date_trunc",
	"dense_rank", "exists", "extract", "first_value", "floor", "format", "generate_series", "greatest",
	"gen_random_uuid", "json_agg", "json_build_object", "jsonb_agg", "jsonb_build_object", "lag",
	"last_value", "lead", "least", "length", "lower", "lpad", "max", "md5", "min", "now", "nullif",
	"pg_sleep", "random", "rank", "regexp_replace", "repeat", "replace", "round", "row_number", "rpad",
	"sqrt", "string_agg", "substr", "substring", "sum", "to_char", "to_date", "to_json", "to_jsonb",
	"to_timestamp", "trim", "trunc", "unnest", "upper",
}

// readsOnly reports whether a statement certainly changes nothing, so that
// cancelling it in the middle undoes nothing: a single SELECT, TABLE or VALUES
// that calls none but harmless functions.
func readsOnly(text string) bool {
	switch sqllex.Keyword(text) {
	case "SELECT", "TABLE", "VALUES":
	default:
		return false
	}
	if !sqllex.Single(text) {
		return false
	}
	for name := range sqllex.Calls(text) {
		if !slices.Contains(harmless, name) {
			return false
		}
	}
	return true
}
