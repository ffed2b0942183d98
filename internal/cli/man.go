package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/stratastore/strata/internal/cli/option"
)

func manVerb() *Verb {
	return &Verb{
		Name: "man", Group: groupCommand, Summary: "Write the manual pages", Args: "[DIR]", Max: 1, ModernOnly: true, NoJSON: true, NoStore: true, Files: true,
		Detail: "Without DIR the page of the whole command goes to standard output. DIR gets a page for each command too.",
		Examples: []Example{
			{"Read the manual", "strata man | man -l -"},
			{"Install the pages", "strata man /usr/local/share/man/man1"},
		},
		Run: func(ctx context.Context, c *Call) error {
			if len(c.Args) == 0 {
				_, err := c.Out.Write(generalPage(c.command))
				return err
			}
			_, err := os.Stat(c.Args[0])
			if v := findVerb(c.command.verbs, c.Args[0]); v != nil && err != nil {
				return usagef("`strata help "+v.Name+"` explains the command; for a directory of this name write ./"+c.Args[0], "%q is a command and no directory", c.Args[0])
			}
			return writePages(ctx, c, c.Args[0])
		},
	}
}

// writePages writes all pages into dir, which is made when it is not there.
func writePages(ctx context.Context, c *Call, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	pages := map[string][]byte{programName + ".1": generalPage(c.command)}
	for _, v := range c.command.verbs {
		pages[pageName(v)+".1"] = verbPage(c.command, v)
	}
	for name, text := range pages {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(dir, name), text); err != nil {
			return err
		}
	}
	return c.Show(Result{JSON: writtenPages{Dir: dir, Pages: len(pages)}})
}

type writtenPages struct {
	Dir   string `json:"dir"`
	Pages int    `json:"pages"`
}

// replaceFile leaves a file alone that says the same, so that its time tells of changes.
func replaceFile(path string, text []byte) error {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

// page writes the macros of man(7).
type page struct{ b bytes.Buffer }

func newPage(title, name, about string) *page {
	p := &page{}
	fmt.Fprintf(&p.b, ".TH %s 1 \"\" strata \"strata manual\"\n", strings.ToUpper(title))
	p.section("NAME")
	fmt.Fprintf(&p.b, "%s \\- %s\n", roff(name), roff(about))
	return p
}

func (p *page) section(title string) { fmt.Fprintf(&p.b, ".SH %s\n", title) }

// text writes paragraphs; single line ends are kept.
func (p *page) text(s string) {
	fmt.Fprintf(&p.b, "%s\n", strings.ReplaceAll(roff(s), "\n\n", "\n.PP\n"))
}

// term writes a tagged paragraph.
func (p *page) term(tag, text string) {
	fmt.Fprintf(&p.b, ".TP\n\\fB%s\\fR\n%s\n", roff(tag), roff(text))
}

// item writes a bullet.
func (p *page) item(text string) {
	fmt.Fprintf(&p.b, ".IP \\(bu 2\n%s\n", roff(text))
}

// code writes lines as they stand.
func (p *page) code(lines ...string) {
	p.b.WriteString(".PP\n.nf\n.RS\n")
	for _, l := range lines {
		p.b.WriteString(roff(l) + "\n")
	}
	p.b.WriteString(".RE\n.fi\n")
}

func (p *page) options(list []option.Option) {
	for _, o := range list {
		p.term(strings.TrimSpace(optionSketch(o)), o.Usage+"."+defaultNote(o))
	}
}

func (p *page) exitCodes() {
	p.section("EXIT STATUS")
	for _, row := range exitCodes() {
		p.term(fmt.Sprint(row.code), row.String()+".")
	}
}

// roff protects what would be read as a macro or an escape, and characters that a
// page without a declared encoding can not hold.
func roff(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	s = ascii(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// ascii writes other characters as roff names them, by their Unicode number.
func ascii(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}

func generalPage(c *command) []byte {
	p := newPage(programName, programName, "container images, their layers and containers in one store")
	p.section("SYNOPSIS")
	p.text("strata [options] COMMAND [options] [arguments]")
	p.section("DESCRIPTION")
	p.text(manualText)
	p.section("COMMANDS")
	for _, g := range groups() {
		fmt.Fprintf(&p.b, ".SS %s\n", g)
		for _, v := range c.verbs {
			if v.Group == g {
				p.term(v.Name, v.Summary+".")
			}
		}
	}
	p.section("OPTIONS")
	p.options(c.globals.modernOptions())
	p.exitCodes()
	p.section("ENVIRONMENT")
	for _, e := range environment() {
		p.term(e[0], e[1])
	}
	p.section("FILES")
	p.term("/etc/containers/storage.conf", "Configuration; strata config explain lists the files that count and what each sets.")
	p.section("CALLED AS CONTAINERS-STORAGE")
	p.text("Grammar, texts, labels and exit codes are those of that command, apart from these hazards of it:")
	for _, d := range classicDifferences() {
		p.item(d)
	}
	p.section("CALLED AS STRATA")
	p.text("The results are the same. What scripts for that command have to know:")
	for _, d := range modernDifferences() {
		p.item(d)
	}
	p.section("SEE ALSO")
	p.text("containers-storage.conf(5), podman(1), skopeo(1), buildah(1)")
	return p.b.Bytes()
}

// pageName is the title of a verb's page.
func pageName(v *Verb) string { return programName + "-" + strings.ReplaceAll(v.Name, " ", "-") }

func verbPage(c *command, v *Verb) []byte {
	name := pageName(v)
	p := newPage(name, name, strings.ToLower(v.Summary[:1])+v.Summary[1:])
	p.section("SYNOPSIS")
	p.text(usageLine(v))
	p.section("DESCRIPTION")
	p.text(v.Summary + ".")
	if v.Detail != "" {
		p.text(v.Detail)
	}
	if len(v.Aliases) > 0 {
		p.b.WriteString(".PP\n")
		p.text("Also called " + strings.Join(v.Aliases, ", ") + ".")
	}
	if len(v.Options) > 0 {
		p.section("OPTIONS")
		p.options(v.Options)
	}
	p.section("OPTIONS OF EVERY COMMAND")
	p.options(c.globals.modernOptions())
	p.section("EXAMPLES")
	for _, e := range v.Examples {
		p.text(e.Purpose + ":")
		p.code(e.Line)
	}
	p.exitCodes()
	p.section("SEE ALSO")
	p.text("strata(1)")
	return p.b.Bytes()
}
