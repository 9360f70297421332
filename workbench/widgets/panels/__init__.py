"""The parts of the Explorer: each shows a piece of a `State` and changes it by its public calls."""
