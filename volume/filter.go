package volume

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Filter chooses among volumes. It is a pure predicate over one volume, so the order in
// which filters are combined never matters; the zero Filter chooses all.
type Filter struct {
	test func(Volume) bool
	// drivers are the only ones whose volumes can pass, canonical; nil: any driver's can.
	drivers map[string]bool
}

// Match reports whether the filter chooses v.
func (f Filter) Match(v Volume) bool { return f.test == nil || f.test(v) }

// ByDriver chooses the volumes of the drivers named.
func ByDriver(names ...string) Filter {
	set := map[string]bool{}
	for _, name := range names {
		set[CanonicalDriver(name)] = true
	}
	return Filter{drivers: set, test: func(v Volume) bool { return set[CanonicalDriver(v.Driver)] }}
}

// ByReferenced chooses the volumes that have holders, or those that have none.
func ByReferenced(held bool) Filter {
	return Custom(func(v Volume) bool { return (len(v.References) > 0) == held })
}

// ByLabel chooses the volumes with a label of that key.
func ByLabel(key string) Filter {
	return Custom(func(v Volume) bool { _, ok := v.Labels[key]; return ok })
}

// ByLabelValue chooses the volumes whose label key has that value.
func ByLabelValue(key, value string) Filter {
	return Custom(func(v Volume) bool { got, ok := v.Labels[key]; return ok && got == value })
}

// ByName chooses the volumes whose names contain text, or match it as a regular
// expression.
func ByName(text string) Filter {
	pattern, err := regexp.Compile(text)
	return Custom(func(v Volume) bool {
		return strings.Contains(v.Name, text) || err == nil && pattern.MatchString(v.Name)
	})
}

// Custom chooses what test is true for. test must be safe for concurrent use.
func Custom(test func(Volume) bool) Filter { return Filter{test: test} }

// And chooses what every filter chooses; And of nothing chooses all.
func And(filters ...Filter) Filter {
	filters = slices.Clone(filters)
	all := Filter{test: func(v Volume) bool {
		return !slices.ContainsFunc(filters, func(f Filter) bool { return !f.Match(v) })
	}}
	for _, f := range filters {
		all.drivers = intersect(all.drivers, f.drivers)
	}
	return all
}

// intersect treats nil as "any".
func intersect(a, b map[string]bool) map[string]bool {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	both := map[string]bool{}
	for name := range a {
		if b[name] {
			both[name] = true
		}
	}
	return both
}

// Or chooses what at least one filter chooses; Or of nothing chooses nothing.
func Or(filters ...Filter) Filter {
	filters = slices.Clone(filters)
	union := map[string]bool{}
	for _, f := range filters {
		if f.drivers == nil {
			union = nil
			break
		}
		maps.Copy(union, f.drivers)
	}
	return Filter{drivers: union, test: func(v Volume) bool {
		return slices.ContainsFunc(filters, func(f Filter) bool { return f.Match(v) })
	}}
}

// Not chooses what f does not.
func Not(f Filter) Filter { return Custom(func(v Volume) bool { return !f.Match(v) }) }

// FindIn applies a filter to volumes listed before, with the holders that they have now.
// No driver is asked and the list is not modified; the order stays.
func (s *Store) FindIn(ctx context.Context, list []Volume, f Filter) ([]Volume, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail(OpList, "", err)
	}
	var chosen []Volume
	for _, v := range list {
		v = v.clone()
		v.References = s.references(v.Name)
		if f.Match(v) {
			chosen = append(chosen, v)
		}
	}
	return chosen, nil
}
