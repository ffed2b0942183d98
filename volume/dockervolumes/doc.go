// Package dockervolumes reads the volumes in the data root of a Docker engine that is not
// running (docker-layers-and-volumes, C.8 and C.10): what they are, and where their data
// is. Nothing in the data root is changed, and no engine is needed.
package dockervolumes
