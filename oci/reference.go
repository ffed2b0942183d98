package oci

import (
	"fmt"
	"strings"

	"github.com/distribution/reference"

	"github.com/stratastore/strata/errdefs"
)

// localDomain is where names without a domain go when a person gives them, as in
// the other engines.
const localDomain = "localhost/"

// LocalName normalises a name that a person gave: "app" is "localhost/app:latest",
// a name with a domain keeps it, a missing tag is "latest". ErrInvalid if it is no reference.
func LocalName(name string) (string, error) {
	if !hasDomain(name) {
		name = localDomain + name
	}
	return RegistryName(name)
}

// RegistryName normalises a name as a registry client does: "debian" is
// "docker.io/library/debian:latest". ErrInvalid if it is no reference.
func RegistryName(name string) (string, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w: %w", name, err, errdefs.ErrInvalid)
	}
	return reference.TagNameOnly(ref).String(), nil
}

// Candidates are the full names that a short name can stand for, the most likely
// first. A full name stands for itself alone.
func Candidates(name string) []string {
	var list []string
	for _, normalise := range []func(string) (string, error){LocalName, RegistryName} {
		if full, err := normalise(name); err == nil && (len(list) == 0 || list[0] != full) {
			list = append(list, full)
		}
	}
	return list
}

// hasDomain applies the rule of the field: a first component with a dot or colon,
// or "localhost", is a host.
func hasDomain(name string) bool {
	first, _, more := strings.Cut(name, "/")
	return more && (first == "localhost" || strings.ContainsAny(first, ".:"))
}
