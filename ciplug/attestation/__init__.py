"""Pure: what the registry knows of a version, in the formats of other tools: in-toto, SLSA, CycloneDX, Hugging Face."""
