package testutil

import (
	"encoding/json"
	"fmt"
	"testing"
)

// DockerArchive is an image as docker save writes it: its configuration, which differs for
// each name, and its layers, which are tars, base first.
func DockerArchive(t testing.TB, name string, layers ...[]byte) []byte {
	t.Helper()
	var entries []Entry
	var files, diffs []string
	for i, l := range layers {
		file := fmt.Sprintf("%d/layer.tar", i)
		entries = append(entries, Entry{Name: file, Body: string(l)})
		files, diffs = append(files, file), append(diffs, Digest(l).String())
	}
	config := JSON(t, map[string]any{
		"architecture": "amd64", "os": "linux", "created": "2024-01-02T03:04:05Z",
		"config": map[string]any{"Labels": map[string]string{"name": name}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	configFile := Digest([]byte(config)).Encoded() + ".json"
	manifest := JSON(t, []map[string]any{{"Config": configFile, "RepoTags": []string{name}, "Layers": files}})
	return Tar(t, append(entries, Entry{Name: configFile, Body: config}, Entry{Name: "manifest.json", Body: manifest})...)
}

// JSON is a value as JSON.
func JSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
