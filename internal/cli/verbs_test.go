package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stratastore/strata/internal/cli/option"
)

// TestVerbs checks every verb for what help and both parsers take for granted.
func TestVerbs(t *testing.T) {
	names := map[string]bool{"help": true}
	for _, v := range verbs() {
		t.Run(v.Name, func(t *testing.T) {
			for _, name := range v.names() {
				if names[name] {
					t.Errorf("the name %q is taken", name)
				}
				names[name] = true
			}
			if v.Summary == "" || strings.HasSuffix(v.Summary, ".") || strings.Contains(v.Summary, "\n") {
				t.Errorf("summary %q is not one line without a full stop", v.Summary)
			}
			if !slices.Contains(groups(), v.Group) {
				t.Errorf("unknown group %q", v.Group)
			}
			if v.Run == nil || v.Min < 0 || (v.Max != unlimited && v.Max < v.Min) {
				t.Errorf("no Run, or takes %d to %d arguments", v.Min, v.Max)
			}
			if (v.Max == 0) != (v.Args == "") {
				t.Errorf("takes at most %d arguments, but they are sketched as %q", v.Max, v.Args)
			}
			checkExamples(t, v)
			checkOptions(t, v)
		})
	}
}

func checkExamples(t *testing.T, v *Verb) {
	t.Helper()
	if len(v.Examples) == 0 {
		t.Error("no example")
	}
	for _, e := range v.Examples {
		if e.Purpose == "" || strings.HasSuffix(e.Purpose, ".") || !strings.Contains(e.Line, programName+" "+v.Name) {
			t.Errorf("example %q: %q", e.Purpose, e.Line)
		}
	}
}

func checkOptions(t *testing.T, v *Verb) {
	t.Helper()
	g := &globals{}
	for manner, all := range map[string][]option.Option{
		"classic": slices.Concat(g.classicOptions(), []option.Option{g.helpOption()}, v.Options),
		"modern":  slices.Concat(g.modernOptions(), v.Options, v.Further),
	} {
		taken := map[string]bool{"help": true, "h": true}
		for _, o := range all {
			for _, name := range append(slices.Clone(o.Long), o.Short) {
				if name == "" || (name == "help" && manner == "classic") {
					continue
				}
				if taken[name] {
					t.Errorf("%s: the option %q is there twice", manner, name)
				}
				taken[name] = true
			}
			if o.Usage == "" || strings.HasSuffix(o.Usage, ".") {
				t.Errorf("option %s: usage %q", o.Name(), o.Usage)
			}
		}
	}
}

// TestReferenceVerbs holds the drop-in to the verb table of the command-line
// reference, as far as the store serves it.
func TestReferenceVerbs(t *testing.T) {
	// name, aliases, least and most arguments, JSON, options without those for ID maps
	const table = `
		add-names addnames 1 -1 j name,n
		applydiff apply-diff 1 1 - file,f
		applydiff-using-staging-dir - 2 2 -
		changes - 1 2 j
		check - 0 0 j max,m repair,r force,f quick,q
		config - 0 1 -
		container - 1 -1 j
		container-parent-owners - 1 -1 j
		containers - 0 0 j
		copy - 2 -1 j chown,o
		create-container createcontainer 1 1 j name,n id,i volatile metadata,m metadata-file,f maps
		create-image createimage 0 1 j name,n id,i digest,d metadata,m metadata-file,f
		create-layer createlayer 0 1 j name,n id,i label,l readonly,r maps
		create-storage-layer - 0 1 j id,i label,l readonly,r maps
		delete - 1 -1 j
		delete-container deletecontainer 1 -1 j
		delete-image deleteimage 1 -1 j test,t
		delete-layer deletelayer 1 -1 j
		dedup - 0 0 j hash-method
		diff - 1 2 - file,f uncompressed,u gzip,c bzip2,bz2,b xz,x
		diffsize diff-size 1 2 -
		exists - 1 -1 j quiet,q layer,l image,i container,c
		gc - 0 0 j
		get-container-data getcontainerdata 2 2 - file,f
		get-container-data-digest getcontainerdatadigest 2 2 -
		get-container-data-size getcontainerdatasize 2 2 -
		get-container-dir getcontainerdir 1 1 -
		get-container-run-dir getcontainerrundir 1 1 -
		get-image-data getimagedata 2 2 - file,f
		get-image-data-digest getimagedatadigest 2 2 -
		get-image-data-size getimagedatasize 2 2 -
		get-image-dir getimagedir 1 1 -
		get-image-run-dir getimagerundir 1 1 -
		get-layer-data getlayerdata 2 2 - file,f
		get-names getnames 1 1 j
		image - 1 -1 j
		images - 0 0 j quiet,q
		images-by-digest - 1 1 j quiet,q
		import-layer importlayer 0 1 j name,n id,i label,l readonly,r file,f maps
		layer - 1 -1 j
		layer-parent-owners - 1 -1 j
		layers - 0 0 j tree,t quick,q
		list-container-data listcontainerdata 1 1 j
		list-image-data listimagedata 1 1 j
		list-layer-data listlayerdata 1 1 j
		metadata - 1 -1 j quiet,q
		mount - 1 -1 j opt,o label,l read-only,ro,r
		mounted - 1 -1 j
		remove-names removenames 1 -1 j name,n
		set-container-data setcontainerdata 2 2 - file,f
		set-image-data setimagedata 2 2 - file,f
		set-layer-data setlayerdata 2 2 - file,f
		set-metadata setmetadata 1 1 - metadata,m metadata-file,f
		set-names setnames 1 -1 j name,n
		shutdown - 0 0 j force,f
		status - 0 0 j
		storage-layers - 0 0 j
		unmount umount 1 -1 j force,f
		version - 0 0 j
		wipe - 0 0 j`
	list := verbs()
	for _, line := range strings.Split(strings.TrimSpace(table), "\n") {
		want := strings.Join(strings.Fields(line), " ")
		name, _, _ := strings.Cut(want, " ")
		v := findVerb(list, name)
		if v == nil {
			t.Errorf("no verb %s", name)
			continue
		}
		if got := referenceLine(v); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// referenceLine writes a verb the way that TestReferenceVerbs has it.
func referenceLine(v *Verb) string {
	alias, json := "-", "-"
	if len(v.Aliases) > 0 {
		alias = strings.Join(v.Aliases, ",")
	}
	if v.JSON {
		json = "j"
	}
	words := []string{v.Name, alias, itoa(v.Min), itoa(v.Max), json}
	hasMaps := false
	for _, o := range v.Options {
		if strings.HasSuffix(o.Name(), "idmap") {
			hasMaps = true
			continue
		}
		names := o.Long
		if o.Short != "" {
			names = append(slices.Clone(names), o.Short)
		}
		words = append(words, strings.Join(names, ","))
	}
	if hasMaps {
		words = append(words, "maps")
	}
	return strings.Join(words, " ")
}

func itoa(n int) string {
	if n == unlimited {
		return "-1"
	}
	return string(rune('0' + n))
}

// told is what the stories tell of a verb.
type told struct{ classic, modern, json, failure bool }

// TestStoriesCoverVerbs demands that each verb is told of in both manners, with a
// success, a failure and JSON.
func TestStoriesCoverVerbs(t *testing.T) {
	list := verbs()
	stories := map[*Verb]*told{}
	for _, v := range list {
		stories[v] = &told{}
	}
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	line := regexp.MustCompile(`(?m)^(?:\[[^]]*\] )*(exit [1-9]\d* |! )?(?:exit 0 |exec )?(csx?|stx?|strata|containers-storage) (.*)$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range line.FindAllStringSubmatch(string(text), -1) {
			note(stories, list, strings.TrimSpace(m[1]), m[2], strings.Fields(m[3]))
		}
	}
	for _, v := range list {
		s := stories[v]
		if !s.modern || !s.failure || (!s.classic && !v.ModernOnly) || (!s.json && !v.NoJSON) {
			t.Errorf("%s: classic %t, modern %t, JSON %t, failure %t", v.Name, s.classic, s.modern, s.json, s.failure)
		}
	}
}

func note(stories map[*Verb]*told, list []*Verb, prefix, command string, words []string) {
	for i, w := range words {
		v := findVerb(list, w)
		if isFamily(w) && i+1 < len(words) {
			v = findVerb(list, w+" "+words[i+1])
		}
		if v == nil {
			continue
		}
		s := stories[v]
		modern := strings.HasPrefix(command, "st")
		failed := prefix != ""
		s.failure = s.failure || failed
		s.classic = s.classic || (!modern && !failed)
		s.modern = s.modern || (modern && !failed)
		s.json = s.json || (modern && (slices.Contains(words, "--json") || slices.Contains(words, "-j")))
		return
	}
}
