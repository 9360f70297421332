"""Model -> model: precision, quantization, fusion."""
