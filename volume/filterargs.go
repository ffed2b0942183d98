package volume

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ListFilter builds the filter that a listing's arguments ask for. Keys are "dangling" (a
// bool: without holders), "name" (ByName), "driver", and "label" ("k" or "k=v"). Several
// names or drivers widen the choice, several labels narrow it, as in docker volume ls.
// Anything else is an ErrInvalidFilter.
func ListFilter(args map[string][]string) (Filter, error) {
	var all []Filter
	for _, key := range slices.Sorted(maps.Keys(args)) {
		f, err := listFilter(key, args[key])
		if err != nil {
			return Filter{}, err
		}
		if len(args[key]) > 0 {
			all = append(all, f)
		}
	}
	return And(all...), nil
}

func listFilter(key string, values []string) (Filter, error) {
	switch key {
	case "dangling":
		dangling, err := boolValue(key, values)
		return ByReferenced(!dangling), err
	case "name":
		return Or(each(values, ByName)...), nil
	case "driver":
		return ByDriver(values...), nil
	case "label":
		return And(each(values, labelFilter)...), nil
	}
	return Filter{}, fmt.Errorf("%w %q: known are dangling, driver, label, name", ErrInvalidFilter, key)
}

// PruneFilter builds the options that a prune's arguments ask for: "label" and "label!"
// ("k" or "k=v"), and "all" (a bool). Anything else is an ErrInvalidFilter.
func PruneFilter(args map[string][]string) (PruneOptions, error) {
	var opts PruneOptions
	var all []Filter
	for _, key := range slices.Sorted(maps.Keys(args)) {
		switch key {
		case "label":
			all = append(all, each(args[key], labelFilter)...)
		case "label!":
			all = append(all, Not(Or(each(args[key], labelFilter)...))) // of nothing: all
		case "all":
			every, err := boolValue(key, args[key])
			if err != nil {
				return PruneOptions{}, err
			}
			opts.All = every
		default:
			return PruneOptions{}, fmt.Errorf("%w %q: known are label!, label, all", ErrInvalidFilter, key)
		}
	}
	opts.Filter = And(all...)
	return opts, nil
}

func each(values []string, make func(string) Filter) []Filter {
	var filters []Filter
	for _, v := range values {
		filters = append(filters, make(v))
	}
	return filters
}

// labelFilter reads "k" or "k=v".
func labelFilter(text string) Filter {
	if key, value, ok := strings.Cut(text, "="); ok {
		return ByLabelValue(key, value)
	}
	return ByLabel(text)
}

// boolValue reads the one bool that a key has.
func boolValue(key string, values []string) (bool, error) {
	if len(values) != 1 {
		return false, fmt.Errorf("%w %q: one value expected, not %d", ErrInvalidFilter, key, len(values))
	}
	b, err := strconv.ParseBool(values[0])
	if err != nil {
		return false, fmt.Errorf("%w %q: %q is neither true nor false", ErrInvalidFilter, key, values[0])
	}
	return b, nil
}
