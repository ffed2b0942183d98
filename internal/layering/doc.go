// Package layering holds the test that keeps imports pointing downwards. The
// map is the one of docs/architecture.md; .golangci.yml states the same for editors.
package layering
