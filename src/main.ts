// Runs on: main.
// Process entry. Replaced as the stages land.
export {}
