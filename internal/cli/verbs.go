package cli

import (
	"slices"

	"github.com/stratastore/strata"
)

// verbs is the table of everything that the command does, in the order of the help.
// Each call makes new values, whose options are bound to variables of their own.
func verbs() []*Verb {
	return []*Verb{
		loadVerb(), saveVerb(), importVerb(), dockerImportVerb(), imagesVerb(), imageVerb(), imagesByDigestVerb(), createImageVerb(), historyVerb(), tagVerb(), rmiVerb(), deleteImageVerb(),
		createContainerVerb(), containersVerb(), containerVerb(), commitVerb(), rmVerb(), deleteContainerVerb(),
		createLayerVerb(), importLayerVerb(), layersVerb(), layerVerb(), deleteLayerVerb(), storageLayersVerb(), createStorageLayerVerb(),
		layerOwnersVerb(), containerOwnersVerb(),
		mountVerb(), unmountVerb(), mountedVerb(),
		volumeCreateVerb(), volumeListVerb(), volumeInspectVerb(), volumeRemoveVerb(), volumePruneVerb(),
		volumeMountVerb(), volumeUnmountVerb(), volumeDiffVerb(), volumeCommitVerb(), volumeDiscardVerb(), volumeResetVerb(),
		volumeCloneVerb(), volumeSnapshotVerb(), volumeRenameVerb(), volumeImportDockerVerb(), volumeServeVerb(),
		changesVerb(), diffVerb(), diffSizeVerb(), applyDiffVerb(), applyStagedVerb(), copyVerb(),
		inspectVerb(), existsVerb(), deleteVerb(),
		getNamesVerb(), addNamesVerb(), setNamesVerb(), removeNamesVerb(), metadataVerb(), setMetadataVerb(),
		listDataVerb(strata.KindLayer), getDataVerb(strata.KindLayer), setDataVerb(strata.KindLayer),
		listDataVerb(strata.KindImage), getDataVerb(strata.KindImage), setDataVerb(strata.KindImage),
		dataSizeVerb(strata.KindImage), dataDigestVerb(strata.KindImage),
		listDataVerb(strata.KindContainer), getDataVerb(strata.KindContainer), setDataVerb(strata.KindContainer),
		dataSizeVerb(strata.KindContainer), dataDigestVerb(strata.KindContainer),
		imageDirVerb(), imageRunDirVerb(), containerDirVerb(), containerRunDirVerb(),
		duVerb(), verifyVerb(), checkVerb(), gcVerb(), dedupVerb(),
		statusVerb(), configVerb(), shutdownVerb(), wipeVerb(), driverServeVerb(),
		versionVerb(), unshareVerb(), completionVerb(), manVerb(),
	}
}

// modernVerbs is the table with the options of the modern manner.
func modernVerbs() []*Verb {
	list := verbs()
	for _, v := range list {
		v.Options = slices.Concat(v.Options, v.Further)
	}
	return list
}
