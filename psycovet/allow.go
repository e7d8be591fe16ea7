package psycovet

import (
	"go/ast"
	"go/token"
	"strings"
)

const allowance = "//psyco:allow"

// allow remembers the lines of a file that a comment silences: its own, or the one below if
// the comment stands alone.
func (c *checker) allow(file *ast.File) {
	for _, group := range file.Comments {
		for _, comment := range group.List {
			reason, ok := strings.CutPrefix(comment.Text, allowance)
			if !ok {
				continue
			}
			if strings.TrimSpace(reason) == "" {
				c.Reportf(comment.Pos(), "%s needs a reason behind it", allowance)
				continue
			}
			tf := c.Fset.File(comment.Pos())
			if c.allowed[tf] == nil {
				c.allowed[tf] = make(map[int]bool)
			}
			line := tf.Line(comment.Pos())
			c.allowed[tf][line] = true
			if c.standsAlone(tf, comment) {
				c.allowed[tf][line+1] = true
			}
		}
	}
}

func (c *checker) standsAlone(tf *token.File, comment *ast.Comment) bool {
	source, err := c.ReadFile(tf.Name())
	if err != nil {
		return false
	}
	start, at := tf.Offset(tf.LineStart(tf.Line(comment.Pos()))), tf.Offset(comment.Pos())
	return at <= len(source) && strings.TrimSpace(string(source[start:at])) == ""
}

func (c *checker) isAllowed(pos token.Pos) bool {
	tf := c.Fset.File(pos)
	return tf != nil && c.allowed[tf][tf.Line(pos)]
}
