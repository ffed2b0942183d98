//go:build race

package layer

// raceDetector makes everything about ten times slower.
const raceDetector = true
