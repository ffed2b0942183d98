package layer

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// full is a record with every key, in the order of the specification.
const full = `{"id":"a","names":["n1","n2"],"parent":"p","metadata":"m \u003c\u0026\u003e","mountlabel":"l",` +
	`"created":"2026-11-21T07:07:35.173741612Z","compressed-diff-digest":"sha256:b","compressed-size":362,` +
	`"diff-digest":"sha256:d","toc-digest":"sha256:t","diff-size":10240,"compression":2,"uidset":[0,5],"gidset":[0,7],` +
	`"flags":{"expected-layer-diffid":"sha256:x","incomplete":true,"other":{"a":1}},` +
	`"uidmap":[{"container_id":0,"host_id":100000,"size":65536,"more":1}],"gidmap":[{"container_id":0,"host_id":1,"size":2}],` +
	`"big-data-names":["k"]}`

func TestRecordKeysAndOrder(t *testing.T) {
	for name, want := range map[string]string{
		"full":    full,
		"minimal": `{"id":"a","created":"0001-01-01T00:00:00Z"}`,
	} {
		var r Record
		if err := json.Unmarshal([]byte(want), &r); err != nil {
			t.Fatal(err)
		}
		got, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestIncompleteFlag(t *testing.T) {
	for value, want := range map[string]bool{"true": true, "false": false, `"true"`: false, "1": false, "null": false} {
		r := Record{Flags: map[string]json.RawMessage{FlagIncomplete: json.RawMessage(value)}}
		if r.Incomplete() != want {
			t.Errorf("%s counts as %v", value, !want)
		}
	}
	flags := map[string]json.RawMessage{"other": json.RawMessage("1")}
	r := Record{Flags: flags}
	r.setIncomplete()
	if !r.Incomplete() || len(r.Flags) != 2 || len(flags) != 1 {
		t.Errorf("flags %v, the caller's %v", r.Flags, flags)
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(`{"id":"a","created":"2024-01-01T00:00:00+02:00","flags":null,"diff-size":-1,"uidset":[4294967295]}`))
	f.Add([]byte(`{"id":"\u0000../x","names":null,"uidmap":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var r Record
		if json.Unmarshal(data, &r) != nil {
			return
		}
		first, err := json.Marshal(r)
		if err != nil {
			return // years beyond 9999 and the like
		}
		var again Record
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("what was written can not be read: %v\n%s", err, first)
		}
		second, err := json.Marshal(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("written twice:\n%s\n%s\n%v", first, second, err)
		}
		if !r.Mapping().Equal(again.Mapping()) {
			t.Fatalf("ID maps %v became %v", r.Mapping(), again.Mapping())
		}
		if r.ID.Validate() == nil && strings.ContainsAny(string(r.ID), "/\x00") {
			t.Fatalf("ID %q is accepted", r.ID)
		}
		if path, err := splitPath("/dir", r.ID); err == nil && !strings.HasPrefix(path, "/dir/") {
			t.Fatalf("ID %q leads to %s", r.ID, path)
		}
		_ = r.Incomplete()
		_, _ = r.size()
		_ = isDigest(r.DiffID)
		_ = ImageLayerID(r.Parent, r.DiffID)
	})
}
