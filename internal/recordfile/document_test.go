package recordfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

var testWanted = newWanted([]string{"id", "names", "parent"}, []string{"created"})

func TestParse(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // id, names, parent of each record
	}{
		{"empty list", `[]`, nil},
		{"null", ` null `, nil},
		{"one", `[{"id":"a"}]`, []string{`"a" - -`}},
		{"all members", `[{"id":"a","names":["n"],"parent":"p","x":1}]`, []string{`"a" ["n"] "p"`}},
		{"other order", `[{"parent":"p","id":"a"},{"id":"b","parent":"q"}]`, []string{`"a" - "p"`, `"b" - "q"`}},
		{"other case", `[{"ID":"a","Names":[]}]`, []string{`"a" [] -`}},
		{"escaped key", `[{"\u0069d":"a"}]`, []string{`"a" - -`}},
		{"last of equal keys", `[{"id":"a","id":"b"}]`, []string{`"b" - -`}},
		{"spaces", " [ { \"id\" :\t\"a\" ,\r\n\"parent\" : \"p\" } , { \"id\": \"b\" } ] \n", []string{`"a" - "p"`, `"b" - -`}},
		{"inner members do not count", `[{"flags":{"id":"x"},"id":"a"}]`, []string{`"a" - -`}},
		{"numbers", `[{"id":"a","n":[0,-0,1.5,-2e+10,3E-1,10]}]`, []string{`"a" - -`}},
		{"literals", `[{"id":"a","n":[true,false,null,{},[]]}]`, []string{`"a" - -`}},
		{"escapes", `[{"id":"a\"b\\\u00e9\n/"}]`, []string{`"a\"b\\\u00e9\n/" - -`}},
		{"empty key", `[{"":1,"id":"a"}]`, []string{`"a" - -`}},
		{"empty record", `[{}]`, []string{`- - -`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			records, err := parse([]byte(tt.text), testWanted)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Join(show(records), "\n"), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			for _, r := range records {
				if !strings.HasPrefix(tt.text[r.offset:], string(r.text)) {
					t.Errorf("%s is not at %d", r.text, r.offset)
				}
			}
		})
	}
}

// show prints the wanted values of each record.
func show(records []raw) []string {
	var out []string
	for _, r := range records {
		line := make([]string, len(r.values))
		for i := range r.values {
			if line[i] = string(r.value(i)); line[i] == "" {
				line[i] = "-"
			}
		}
		out = append(out, strings.Join(line, " "))
	}
	return out
}

func TestParseRefuses(t *testing.T) {
	deep := `[{"id":"a","x":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}]`
	tests := []struct {
		name, text string
		offset     int
	}{
		{"nothing", ``, 0},
		{"zeros", "\x00\x00\x00", 0},
		{"object", `{"id":"a"}`, 0},
		{"cut in a string", `[{"id":"a`, 9},
		{"cut in a list", `[{"id":"a"},`, 12},
		{"cut behind a record", `[{"id":"a"}`, 11},
		{"cut in an escape", `[{"id":"\u00`, 12},
		{"no record", `[1]`, 1},
		{"null record", `[null]`, 1},
		{"trailing comma", `[{"id":"a"},]`, 12},
		{"trailing comma in a record", `[{"id":"a",}]`, 11},
		{"text behind the end", `[] x`, 3},
		{"second list", `[][]`, 2},
		{"zero in a string", "[{\"id\":\"a\x00b\"}]", 9},
		{"newline in a string", "[{\"id\":\"a\nb\"}]", 9},
		{"unknown escape", `[{"id":"\x"}]`, 9},
		{"leading zero", `[{"n":01}]`, 7},
		{"bare minus", `[{"n":-}]`, 7},
		{"no fraction", `[{"n":1.}]`, 8},
		{"no exponent", `[{"n":1e+}]`, 9},
		{"misspelt literal", `[{"n":trie}]`, 8},
		{"no colon", `[{"n" 1}]`, 6},
		{"key without quotes", `[{n:1}]`, 2},
		{"two values", `[{"n":1 2}]`, 8},
		{"not a value", `[{"n":+1}]`, 6},
		{"too deep", deep, len(`[{"id":"a","x":`) + maxDepth - recordDepth},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse([]byte(tt.text), testWanted)
			var at *syntaxError
			if !errors.As(err, &at) {
				t.Fatalf("error = %v", err)
			}
			if at.offset != tt.offset {
				t.Errorf("%v, want offset %d", err, tt.offset)
			}
		})
	}
}

// A large file is checked in parts; the outcome must be that of one pass.
func TestParseParallel(t *testing.T) {
	large := layerFile(2000)
	trap := bytes.ReplaceAll(large, []byte("nnnnnnnn"), []byte(`},{"id":`))
	broken := bytes.Clone(large)
	broken[len(broken)*3/4] = 0
	tests := []struct {
		name string
		data []byte
		want int // records, -1 for an error
	}{
		{"sound", large, 2000},
		{"no seams", bytes.ReplaceAll(large, []byte(`},{"id":"`), []byte(`}, {"id":"`)), 2000},
		{"spaces before the end", append(bytes.Clone(large[:len(large)-1]), " ] \n"...), 2000},
		{"cut", large[:len(large)-1], -1},
		{"damaged in a later part", broken, -1},
		{"text behind the end", append(bytes.Clone(large), '1'), -1},
		{"record missing", bytes.Replace(large, []byte("},{"), []byte("},,{"), 1), -1},
		{"broken strings that look like seams", trap, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			records, err := parse(tt.data, testWanted)
			if (err != nil) != (tt.want < 0) || err == nil && len(records) != tt.want {
				t.Fatalf("%d records, %v", len(records), err)
			}
			if json.Valid(tt.data) != (err == nil) {
				t.Fatalf("encoding/json disagrees with %v", err)
			}
			for i := range records {
				r := &records[i]
				if got := unquote(r.value(idPlace)); got != layerID(i) || tt.data[r.offset] != '{' {
					t.Fatalf("record %d at %d has ID %s", i, r.offset, got)
				}
			}
		})
	}
}

// Only inner lists look like the place where two records meet.
func TestParseParallelFalseSeams(t *testing.T) {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range 3000 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"metadata":"%s },{","id":"r%d","x":[{"y":1},{"id":"z"}]}`, strings.Repeat("m", 500), i)
	}
	b.WriteByte(']')
	records, err := parse(b.Bytes(), testWanted)
	if err != nil || len(records) != 3000 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for i := range records {
		if got := unquote(records[i].value(idPlace)); got != fmt.Sprintf("r%d", i) {
			t.Fatalf("record %d has ID %s", i, got)
		}
	}
}

// FuzzParse: what is accepted is JSON, compact text comes out as it went in, and
// nothing panics.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`[]`))
	f.Add([]byte(`null`))
	f.Add([]byte(`[{"id":"a","names":["b\u003c"],"parent":"c","n":-1.5e3,"x":{"y":[true,null]}}]`))
	f.Add([]byte(" [ {\"id\" : \"a\"} , {} ] "))
	f.Add([]byte(`[{"id":"a`))
	f.Add(layerFile(3))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := parse(data, testWanted)
		if err != nil {
			var at *syntaxError
			if !errors.As(err, &at) || at.offset < 0 || at.offset > len(data) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if !json.Valid(data) {
			t.Fatalf("accepted what is not JSON: %q", data)
		}
		checkEmit(t, data, records)
		checkDecode(t, records)
	})
}

func checkEmit(t *testing.T, data []byte, records []raw) {
	t.Helper()
	var texts [][]byte
	for _, r := range records {
		texts = append(texts, r.text)
	}
	out := emit(texts)
	var compact bytes.Buffer
	if err := json.Compact(&compact, data); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(compact.Bytes(), data) && string(data) != "null" && !bytes.Equal(out, data) {
		t.Fatalf("%q came out as %q", data, out)
	}
	again, err := parse(out, testWanted)
	if err != nil || len(again) != len(records) {
		t.Fatalf("%q does not read back: %v", out, err)
	}
}

// checkDecode compares the IDs that were found with those that encoding/json finds.
func checkDecode(t *testing.T, records []raw) {
	t.Helper()
	for i := range records {
		var want struct {
			ID *string `json:"id"`
		}
		id := records[i].value(idPlace)
		if json.Unmarshal(records[i].text, &want) != nil || want.ID == nil || len(id) == 0 || id[0] != '"' {
			continue
		}
		if got := unquote(id); got != *want.ID {
			t.Fatalf("%s: ID %q, encoding/json has %q", records[i].text, got, *want.ID)
		}
	}
}
