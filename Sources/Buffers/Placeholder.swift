// Buffers
