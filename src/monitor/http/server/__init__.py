"""The server: uvicorn with our protocols and limits. Only here are its internals used."""
