// Isolates
