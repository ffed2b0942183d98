package option_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stratastore/strata/internal/cli/option"
)

// target holds one option of each kind.
type target struct {
	quiet, json bool
	id, file    string
	names       []string
}

func (t *target) options() []option.Option {
	return []option.Option{
		option.Bool(&t.quiet, "quiet,q", "quiet"),
		option.Bool(&t.json, "json,j", "json"),
		option.String(&t.id, "id,i", "id"),
		option.Files(option.String(&t.file, "output-file,file,f", "file")),
		option.List(&t.names, "name,n", "names"),
	}
}

func TestParse(t *testing.T) {
	tests := []struct {
		name string
		args string // words separated by blanks; '' is an empty word
		want target
		rest []string
		// reports are the texts of the mistakes; help is set when help is asked for
		reports []string
		help    bool
	}{
		{name: "nothing"},
		{name: "long with equals", args: "--id=x", want: target{id: "x"}},
		{name: "long with word", args: "--id x y", want: target{id: "x"}, rest: []string{"y"}},
		{name: "second long name", args: "--file x", want: target{file: "x"}},
		{name: "short with equals", args: "-i=x", want: target{id: "x"}},
		{name: "short with word", args: "-i x", want: target{id: "x"}},
		{name: "value that begins with a dash", args: "-i -q --id --quiet", want: target{id: "--quiet"}},
		{name: "empty value", args: "--id=", want: target{}},
		{name: "quotes around a value with equals", args: `--id="x"`, want: target{id: "x"}},
		{name: "single quotes", args: `--id='x'`, want: target{id: "x"}},
		{name: "unlike quotes", args: `--id='x"`, want: target{id: `'x"`}},
		{name: "one pair of quotes", args: `--id=''x''`, want: target{id: "'x'"}},
		{name: "a lone quote", args: `--id="`, want: target{id: `"`}},
		{name: "quotes around a word", args: `--id "x"`, want: target{id: `"x"`}},
		{name: "last single value wins", args: "--id a -i b", want: target{id: "b"}},
		{name: "list grows", args: "-n a --name=b -n c", want: target{names: []string{"a", "b", "c"}}},
		{name: "switch off again", args: "-q --quiet=false", want: target{}},
		{name: "switch with number", args: "-q=1 --json=T", want: target{quiet: true, json: true}},
		{name: "switch takes no word", args: "-q false", want: target{quiet: true}, rest: []string{"false"}},
		{name: "stop at first other word", args: "-q x -j", want: target{quiet: true}, rest: []string{"x", "-j"}},
		{name: "two dashes end the options", args: "-q -- -j", want: target{quiet: true}, rest: []string{"-j"}},
		{name: "a lone dash is a word", args: "-q - -j", want: target{quiet: true}, rest: []string{"-", "-j"}},
		{name: "an empty word ends the options", args: "'' -j", rest: []string{"", "-j"}},
		{name: "cluster", args: "-qj x", want: target{quiet: true, json: true}, rest: []string{"x"}},
		{name: "cluster with value takes the next word", args: "-qi x y", want: target{quiet: true, id: "x"}, rest: []string{"y"}},
		{name: "value letter first", args: "-iq x y", want: target{quiet: true, id: "x"}, rest: []string{"y"}},
		{name: "cluster loses an equals value", args: "-qj=false", want: target{quiet: true, json: true}},
		{name: "a dash in a cluster", args: "-q-j", want: target{quiet: true, json: true}},
		{name: "one dash is no long option", args: "-quiet", reports: []string{"flag provided but not defined: -quiet"}, want: target{quiet: true}},
		{name: "unknown long", args: "--nope", reports: []string{"flag provided but not defined: --nope"}},
		{name: "unknown short", args: "-z", reports: []string{"flag provided but not defined: -z"}},
		{name: "unknown in cluster", args: "-qz", reports: []string{"flag provided but not defined: -qz"}, want: target{quiet: true}},
		{name: "short name with two dashes", args: "--q", reports: []string{"flag provided but not defined: --q"}},
		{name: "three dashes", args: "---quiet", reports: []string{"flag provided but not defined: ---quiet"}},
		{name: "no name", args: "-=x", reports: []string{"bad flag syntax: -=x"}},
		{name: "no long name", args: "--=x", reports: []string{"flag provided but not defined: --"}},
		{name: "value missing", args: "-i", reports: []string{"flag needs an argument: -i"}},
		{name: "long value missing", args: "--id", reports: []string{"flag needs an argument: --id"}},
		{name: "glued value", args: "-ibase", reports: []string{"flag needs an argument: -i", "flag provided but not defined: -ibase"}},
		{name: "bad switch", args: "--json=maybe", reports: []string{`invalid boolean value "maybe" for  --json: strconv.ParseBool: parsing "maybe": invalid syntax`}},
		{name: "bad short switch", args: "-j=maybe", reports: []string{`invalid boolean value "maybe" for  -j: strconv.ParseBool: parsing "maybe": invalid syntax`}},
		{name: "help", args: "-q --help x", want: target{quiet: true}, help: true},
		{name: "short help", args: "-h", help: true},
		{name: "one-dash help", args: "-help", help: true},
		{name: "help in a cluster", args: "-jh", want: target{json: true}, help: true, reports: []string{"flag provided but not defined: -jh"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got target
			var reports []string
			help := false
			p := &option.Parser{
				Options: got.options(),
				Report:  func(text string) { reports = append(reports, text) },
				Help:    func() { help = true },
			}
			rest, err := p.Parse(words(tt.args))
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(target{})); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
			if !slices.Equal(rest, tt.rest) || !slices.Equal(reports, tt.reports) || help != tt.help {
				t.Errorf("rest %q, reports %q, help %t; want %q, %q, %t", rest, reports, help, tt.rest, tt.reports, tt.help)
			}
			if failed := len(tt.reports) > 0 || tt.help; failed != (err != nil) {
				t.Errorf("error = %v", err)
			}
			if n := len(tt.reports); n > 0 && err.Error() != tt.reports[n-1] {
				t.Errorf("error %q, want the last report", err)
			}
			if tt.help && len(tt.reports) == 0 && !errors.Is(err, option.ErrHelp) {
				t.Errorf("error = %v, want ErrHelp", err)
			}
		})
	}
}

func words(line string) []string {
	list := strings.Fields(line)
	for i, w := range list {
		if w == "''" {
			list[i] = ""
		}
	}
	return list
}

// FuzzParse demands that whatever is typed ends, and that what is left over is a
// tail of what was typed.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"-qj x", "--id= --", "-ibase", "-=x", "-jh -q-i x", `--id="`, "--name a -n=b -- c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		var got target
		args := words(line)
		p := &option.Parser{Options: got.options(), Report: func(string) {}, Help: func() {}}
		rest, err := p.Parse(slices.Clone(args))
		if err != nil {
			return
		}
		if len(rest) > len(args) || !slices.Equal(rest, args[len(args)-len(rest):]) {
			t.Fatalf("%q leaves %q", args, rest)
		}
	})
}

func TestNames(t *testing.T) {
	var got target
	options := got.options()
	o, ok := option.Find(options, "file")
	if !ok || o.Name() != "output-file" || o.IsBool() {
		t.Fatalf("Find(file) = %v, %t", o, ok)
	}
	if want := []string{"--output-file", "--file", "-f"}; !slices.Equal(o.Words(), want) {
		t.Errorf("Words = %q, want %q", o.Words(), want)
	}
	if _, ok := option.Find(options, ""); ok {
		t.Error("the empty name finds an option")
	}
}
