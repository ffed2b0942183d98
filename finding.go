package strata

import (
	"fmt"

	"github.com/stratastore/strata/layer"
)

// Problem is what a Finding is about.
type Problem int

// The problems, in the order of how much hangs on them.
const (
	// ProblemRecordsDamaged: a record file can not be read. Nothing that needs it
	// was examined.
	ProblemRecordsDamaged Problem = iota + 1
	// ProblemInterrupted: a creation or deletion was cut short; the record is flagged.
	ProblemInterrupted
	// ProblemParentMissing: the layer below is not in any store.
	ProblemParentMissing
	// ProblemContentMissing: the driver has nothing for the record.
	ProblemContentMissing
	// ProblemContentDigest: the layer's tar has another digest than recorded, or one
	// of its files is not what it was.
	ProblemContentDigest
	// ProblemContentSize: the layer's tar has another length than recorded.
	ProblemContentSize
	// ProblemContentModified: the layer's tree has a name too many, lacks one, or one
	// has other attributes than in the layer's tar.
	ProblemContentModified
	// ProblemSplitDamaged: the file that gives back the layer's exact tar is cut or
	// unreadable.
	ProblemSplitDamaged
	// ProblemSplitMissing: it is not there, though the layer came as a tar.
	ProblemSplitMissing
	// ProblemLinks: the driver's notes about what the layer stands on are lost or cut.
	ProblemLinks
	// ProblemDataMissing: a data item of the record has no file.
	ProblemDataMissing
	// ProblemDataSize: a data item has another length than recorded.
	ProblemDataSize
	// ProblemDataDigest: a data item has another digest than recorded.
	ProblemDataDigest
	// ProblemManifestMissing: the image has no manifest, so engines can not list it.
	ProblemManifestMissing
	// ProblemLayerMissing: the layer of an image or container is not in any store.
	ProblemLayerMissing
	// ProblemImageMissing: the container's image is not in any store.
	ProblemImageMissing
	// ProblemUnreferenced: no image, container or layer needs the layer.
	ProblemUnreferenced
	// ProblemNoRecord: the driver has a layer that no record speaks of.
	ProblemNoRecord
	// ProblemLeftover: a file or directory that belongs to nothing.
	ProblemLeftover
	// ProblemMountCount: counted as mounted, which the kernel knows nothing of.
	ProblemMountCount
	// ProblemUnreadable: reading failed for a reason that is none of the above.
	ProblemUnreadable
	// ProblemParentWrong: the record names another layer below than the layer's ID proves.
	ProblemParentWrong
	// ProblemClash: several records have one ID, or one name.
	ProblemClash
	// ProblemRecordsLost: a record file can be read, but files of the store, and records
	// of other kinds, show that it had more in it. Nothing is collected as garbage then.
	ProblemRecordsLost
	// ProblemDiffIDMissing: the record does not name the digest of the layer's tar, which
	// the configuration of an image does.
	ProblemDiffIDMissing
	// ProblemLayerWrong: the layer of an image is not the one that its configuration
	// proves; or a container's layer is an image's, or another container's.
	ProblemLayerWrong
	// ProblemDataUnrecorded: the image's record has lost a data item that is there.
	ProblemDataUnrecorded
	// ProblemLockBroken: a directory, a link or something else that is no file is in the place of
	// a lock file. What can not be read without the lock was not examined.
	ProblemLockBroken
	// ProblemMountsDamaged: the file of the mount counts can not be read. Nothing can be mounted.
	ProblemMountsDamaged
	// ProblemFolderWrong: a link or a file is in the place of the folder of an object's data items.
	ProblemFolderWrong
	// ProblemMode: others may write to a folder or record file of the store, or its owner can not use it.
	ProblemMode
)

// Repair is what would cure a Finding.
type Repair int

// The repairs. Those that remove something move it to a dated folder below
// "strata/trash" of the graph root.
const (
	// RepairNone: strata knows no cure.
	RepairNone Repair = iota
	// RepairOpen: the next ordinary use of the store finishes what was interrupted.
	RepairOpen
	// RepairRestoreRecords: go back to the last good copy of the record file.
	RepairRestoreRecords
	// RepairRelink: the driver's notes are written again from the records.
	RepairRelink
	// RepairReload: load the image again, which replaces the layer in place, or
	// remove the image.
	RepairReload
	// RepairRemoveLayer, RepairRemoveImage and RepairRemoveContainer: remove the
	// object, and what stands on it first.
	RepairRemoveLayer
	RepairRemoveImage
	RepairRemoveContainer
	// RepairRecord: note size and digest of the data item, or what else the record says, as it is.
	RepairRecord
	// RepairCollect: garbage collection removes it.
	RepairCollect
	// RepairCount: the count is set to what the kernel has; mounting does that, too.
	RepairCount
	// RepairRebuild: the layer is unpacked once more, from its own tar.
	RepairRebuild
	// RepairLock: what is in the place of the lock file is moved away, and the file made again.
	RepairLock
	// RepairRecount: the counts are written again, by what the kernel has mounted.
	RepairRecount
	// RepairPutAway: what is in the place of the folder is moved away, as it is: where a link
	// leads, nobody looks. What the object lacks then is found and cured by itself.
	RepairPutAway
	// RepairMode: the owner may use it afterwards, and nobody else write.
	RepairMode
)

// Finding is one thing that is not as it should be.
type Finding struct {
	// Kind and ID are of the object; ID is "" for record files and for leftovers that
	// belong to no object.
	Kind Kind
	ID   string
	// ReadOnly is set for objects of additional stores, which are never repaired.
	ReadOnly bool
	Problem  Problem
	// Layer is the missing layer (ProblemParentMissing, ProblemLayerMissing), or the right one
	// (ProblemParentWrong; ProblemLayerWrong, "" if it is not known).
	Layer layer.ID
	// Image is the missing image (ProblemImageMissing).
	Image string
	// Name belongs to another object, too; "" for an ID (ProblemClash).
	Name string
	// Item is the data item's key.
	Item string
	// Path is a file of the layer, as in its tar, or, for what lies outside of
	// layers, an absolute path.
	Path string
	// Want and Got are the digests, lengths or check values that differ; "" where
	// there are none.
	Want, Got string
	// Reason says in words what is wrong, without naming the object.
	Reason string
	// Bytes are concerned: what the object takes on the disk, or would give back.
	Bytes int64
	// Repair would cure it.
	Repair Repair
	// Change is "+" for a name too many, "-" for one that is missing, "~" for other
	// attributes (ProblemContentModified).
	Change string

	// backup is the last good copy of the file (RepairRestoreRecords), root the root that it is in
	// (ProblemRecordsLost).
	backup, root string
	// keep is the record that stays, of several with one ID, lost are the others, as a JSON
	// list (ProblemClash).
	keep, lost string
}

// String is one line for people: object, then reason.
func (f Finding) String() string {
	subject := f.Kind.String() + " " + f.ID
	if f.ID == "" {
		subject = f.Path
	}
	if f.ReadOnly {
		subject = "read-only " + subject
	}
	return fmt.Sprintf("%s: %s", subject, f.Reason)
}

var problemNames = map[Problem]string{
	ProblemRecordsDamaged:  "records-damaged",
	ProblemInterrupted:     "interrupted",
	ProblemParentMissing:   "parent-missing",
	ProblemContentMissing:  "content-missing",
	ProblemContentDigest:   "content-digest",
	ProblemContentSize:     "content-size",
	ProblemContentModified: "content-modified",
	ProblemSplitDamaged:    "tar-split-damaged",
	ProblemSplitMissing:    "tar-split-missing",
	ProblemLinks:           "links",
	ProblemDataMissing:     "data-missing",
	ProblemDataSize:        "data-size",
	ProblemDataDigest:      "data-digest",
	ProblemManifestMissing: "manifest-missing",
	ProblemLayerMissing:    "layer-missing",
	ProblemImageMissing:    "image-missing",
	ProblemUnreferenced:    "unreferenced",
	ProblemNoRecord:        "no-record",
	ProblemLeftover:        "leftover",
	ProblemMountCount:      "mount-count",
	ProblemUnreadable:      "unreadable",
	ProblemParentWrong:     "parent-wrong",
	ProblemClash:           "clash",
	ProblemRecordsLost:     "records-lost",
	ProblemDiffIDMissing:   "diff-id-missing",
	ProblemLayerWrong:      "layer-wrong",
	ProblemDataUnrecorded:  "data-unrecorded",
	ProblemLockBroken:      "lock-broken",
	ProblemMountsDamaged:   "mounts-damaged",
	ProblemFolderWrong:     "folder-wrong",
	ProblemMode:            "mode",
}

// IsDamage reports whether something is lost or wrong. The others are leftovers, which
// take space and do no harm.
func (p Problem) IsDamage() bool {
	switch p {
	case ProblemInterrupted, ProblemUnreferenced, ProblemNoRecord, ProblemLeftover, ProblemMountCount:
		return false
	}
	return true
}

// String is a word for programs: "content-digest". It does not change.
func (p Problem) String() string { return problemNames[p] }

// MarshalText makes JSON show the word.
func (p Problem) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

var repairTexts = map[Repair]string{
	RepairNone:            "none known",
	RepairOpen:            "any other use of the store finishes it",
	RepairRestoreRecords:  "go back to the last good copy of the file",
	RepairRelink:          "write the driver's notes again from the records",
	RepairReload:          "load the image again, or remove it",
	RepairRemoveLayer:     "remove the layer and what stands on it",
	RepairRemoveImage:     "remove the image",
	RepairRemoveContainer: "remove the container",
	RepairRecord:          "record it as it is",
	RepairCollect:         "collect it as garbage",
	RepairCount:           "set the count to what is mounted",
	RepairRebuild:         "unpack the layer again from its own tar",
	RepairLock:            "move it away and make the lock file again",
	RepairRecount:         "write the counts again from what is mounted",
	RepairPutAway:         "move away what is in its place",
	RepairMode:            "let the owner use it, and nobody else write",
}

// String says in words what the repair does.
func (r Repair) String() string { return repairTexts[r] }

var repairWords = map[Repair]string{
	RepairNone:            "none",
	RepairOpen:            "open",
	RepairRestoreRecords:  "restore-records",
	RepairRelink:          "relink",
	RepairReload:          "reload",
	RepairRemoveLayer:     "remove-layer",
	RepairRemoveImage:     "remove-image",
	RepairRemoveContainer: "remove-container",
	RepairRecord:          "record",
	RepairCollect:         "collect",
	RepairCount:           "count",
	RepairRebuild:         "rebuild",
	RepairLock:            "relock",
	RepairRecount:         "recount",
	RepairPutAway:         "put-away",
	RepairMode:            "mode",
}

// Word is a word for programs: "relink". It does not change.
func (r Repair) Word() string { return repairWords[r] }

// MarshalText makes JSON show the word.
func (r Repair) MarshalText() ([]byte, error) { return []byte(r.Word()), nil }
