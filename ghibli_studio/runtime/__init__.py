"""Where and on what the program runs: device, memory, energy, processes, ZeroGPU, progress."""
