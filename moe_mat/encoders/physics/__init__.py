"""Experts that compute physics: energies, stiffness and vibrations, each number with a name, a unit and a formula."""
