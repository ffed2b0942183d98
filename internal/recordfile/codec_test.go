package recordfile

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestJSONKeys(t *testing.T) {
	type inner struct {
		C int `json:"c"`
	}
	type record struct {
		A string `json:"a,omitempty"`
		inner
		B      int
		Skip   int `json:"-"`
		hidden int
	}
	_ = record{hidden: 1}
	if diff := cmp.Diff([]string{"a", "c", "B"}, jsonKeys(reflect.TypeFor[record]())); diff != "" {
		t.Error(diff)
	}
}

func TestMerge(t *testing.T) {
	type record struct {
		ID    string            `json:"id"`
		Names []string          `json:"names,omitempty"`
		Size  int64             `json:"size,omitempty"`
		Flags map[string]any    `json:"flags,omitempty"`
		Maps  []json.RawMessage `json:"maps,omitempty"`
	}
	tests := []struct {
		name, old string
		change    func(*record)
		want      string
	}{
		{"nothing", `{ "id" : "a" }`, func(*record) {}, `{ "id" : "a" }`},
		{"known member", `{"id":"a","size":1}`, func(r *record) { r.Size = 2 }, `{"id":"a","size":2}`},
		{
			"unknown members come last, as they were", `{"x":{"b": 1.0},"id":"a","y":"\u00e9<&>","size":1}`,
			func(r *record) { r.Size = 2 }, `{"id":"a","size":2,"x":{"b": 1.0},"y":"\u00e9<&>"}`,
		},
		{
			"unchanged values as they were", `{"id":"\u0061","maps":[{"n":1, "z":"<"}],"size":1}`,
			func(r *record) { r.Size = 2 }, `{"id":"\u0061","size":2,"maps":[{"n":1, "z":"<"}]}`,
		},
		{"member goes away", `{"id":"a","names":["n"],"x":0}`, func(r *record) { r.Names = nil }, `{"id":"a","x":0}`},
		{"member appears", `{"id":"a","x":0}`, func(r *record) { r.Names = []string{"<n>"} }, `{"id":"a","names":["\u003cn\u003e"],"x":0}`},
		{"only a known member in another case", `{"ID":"a","Size":1}`, func(r *record) { r.Size = 2 }, `{"id":"a","size":2}`},
		{
			"maps are sorted", `{"id":"a"}`,
			func(r *record) { r.Flags = map[string]any{"b": true, "a": "x"} }, `{"id":"a","flags":{"a":"x","b":true}}`,
		},
		{"equal unknown members", `{"id":"a","x":1,"x":2}`, func(r *record) { r.Size = 1 }, `{"id":"a","size":1,"x":1,"x":2}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r record
			if err := json.Unmarshal([]byte(tt.old), &r); err != nil {
				t.Fatal(err)
			}
			before := marshal(t, r)
			tt.change(&r)
			got := merge([]byte(tt.old), before, marshal(t, r), jsonKeys(reflect.TypeFor[record]()))
			if string(got) != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestIndexValues(t *testing.T) {
	const record = `{"id":"a","digest":"sha256:1","layers":["x","y","x"],"n":7,"empty":"","none":null,
		"flags":{"incomplete":true,"other":"o"},"digests":{"manifest":"sha256:1","manifest-2":"sha256:2","config":"sha256:3"}}`
	tests := []struct {
		name, members string
		want          []string
	}{
		{"text", "digest", []string{"sha256:1"}},
		{"list", "layers", []string{"x", "y"}},
		{"number", "n", []string{"7"}},
		{"empty", "empty", nil},
		{"null", "none", nil},
		{"absent", "absent", nil},
		{"nested", "flags.incomplete", []string{"true"}},
		{"nested in a text", "digest.x", nil},
		{"all of an object", "flags", []string{"true", "o"}},
		{"several", "digest digests.manifest*", []string{"sha256:1", "sha256:2"}},
		{"all nested", "digests.*", []string{"sha256:1", "sha256:2", "sha256:3"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlan(map[string]string{"x": tt.members}, nil)
			r, err := parseRecord([]byte(record), p.wanted)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, p.indexes[p.find("x")].values(&r)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMalformedIndexPanics(t *testing.T) {
	for _, members := range []string{".x", "x."} {
		func() {
			defer func() {
				if r, ok := recover().(string); !ok || !strings.Contains(r, members) {
					t.Errorf("%q: recovered %v", members, r)
				}
			}()
			newPlan(map[string]string{"i": members}, nil)
		}()
	}
}
