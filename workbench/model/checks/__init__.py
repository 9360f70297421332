"""What a model file must not say, one module a subject; each function takes parsed protobuf.

They raise `ModelError` with the object, what was found and what to do; the caller puts the file's
name in front. None of them allocates by what the file claims.
"""
