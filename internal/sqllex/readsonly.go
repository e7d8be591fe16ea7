package sqllex

import "slices"

// harmless are functions without side effects that long results are often made
// of. A name that is missing here costs time only, see ReadsOnly.
var harmless = []string{
	"abs", "array_agg", "avg", "cast", "ceil", "coalesce", "concat", "count", "cume_dist", "date_trunc",
	"dense_rank", "exists", "extract", "first_value", "floor", "format", "generate_series", "greatest",
	"gen_random_uuid", "json_agg", "json_build_object", "jsonb_agg", "jsonb_build_object", "lag",
	"last_value", "lead", "least", "length", "lower", "lpad", "max", "md5", "min", "now", "nullif",
	"pg_sleep", "random", "rank", "regexp_replace", "repeat", "replace", "round", "row_number", "rpad",
	"sqrt", "string_agg", "substr", "substring", "sum", "to_char", "to_date", "to_json", "to_jsonb",
	"to_timestamp", "trim", "trunc", "unnest", "upper",
}

// ReadsOnly reports whether a statement certainly changes nothing, so that
// cancelling it in the middle undoes nothing: a single SELECT, TABLE or VALUES
// that calls only harmless functions.
func ReadsOnly(text string) bool {
	if !is(Keyword(text), reads) || !Single(text) {
		return false
	}
	for name := range Calls(text) {
		if !slices.Contains(harmless, name) {
			return false
		}
	}
	return true
}
