"""Tools of this project that users do not install: its generated pages, and a PostgreSQL for tests and benchmarks."""
