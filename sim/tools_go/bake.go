package main

import (
	"fmt"
	"sort"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// bakeIDs asks for the text of an HCL bake file with each target's project id handed on as a build argument, so that buildx
// itself evaluates it (inherits, matrix, variables and functions included). The argument's value is "LINE:ID".
type bakeIDs struct {
	Text string `json:"text"`
	File string `json:"file"`
	Arg  string `json:"arg"`
	Only int    `json:"only"`
}

// rewritten is the new text and the lines that hold an id, ascending.
type rewritten struct {
	Text  string `json:"text"`
	Lines []int  `json:"lines"`
}

type edit struct {
	from, to int
	text     string
}

func rewrite(asked bakeIDs) (*rewritten, error) {
	source := []byte(asked.Text)
	file, diagnostics := hclsyntax.ParseConfig(source, asked.File, hcl.InitialPos)
	if diagnostics.HasErrors() {
		first := diagnostics[0]
		return nil, &problem{Message: first.Summary + "; " + first.Detail, File: asked.File, Line: first.Subject.Start.Line}
	}
	found := &rewritten{Lines: []int{}}
	var edits []edit
	for _, block := range file.Body.(*hclsyntax.Body).Blocks {
		id := idOf(block)
		if block.Type != "target" || id == nil {
			continue
		}
		line := id.SrcRange.Start.Line
		found.Lines = append(found.Lines, line)
		if asked.Only == 0 || asked.Only == line {
			expression := string(id.Expr.Range().SliceBytes(source))
			edits = append(edits, withArg(block, fmt.Sprintf("{%s = \"%d:${%s}\"}", asked.Arg, line, expression))...)
		}
	}
	sort.Ints(found.Lines)
	sort.Slice(edits, func(i, j int) bool { return edits[i].from > edits[j].from })
	for _, e := range edits {
		source = append(source[:e.from:e.from], append([]byte(e.text), source[e.to:]...)...)
	}
	found.Text = string(source)
	return found, nil
}

func idOf(block *hclsyntax.Block) *hclsyntax.Attribute {
	for _, name := range []string{"project_id", "project-id"} {
		if attribute, ok := block.Body.Attributes[name]; ok {
			return attribute
		}
	}
	return nil
}

// withArg adds an object to a target's args. Missing args stand after the opening brace; a block of one line gets more lines.
func withArg(block *hclsyntax.Block, object string) []edit {
	if args, ok := block.Body.Attributes["args"]; ok {
		at := args.Expr.Range()
		return []edit{
			{at.Start.Byte, at.Start.Byte, "merge("},
			{at.End.Byte, at.End.Byte, ", " + object + ")"},
		}
	}
	opened, closed := block.OpenBraceRange, block.CloseBraceRange
	edits := []edit{{opened.End.Byte, opened.End.Byte, "\nargs = " + object + "\n"}}
	if opened.Start.Line == closed.Start.Line {
		edits = append(edits, edit{closed.Start.Byte, closed.Start.Byte, "\n"})
	}
	return edits
}
