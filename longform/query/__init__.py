"""Questions to a bank: SQL over its tables, and the moments most like a given one.

`sql.query` answers SQL. `index.build` makes a FAISS index of a feature space, `search.search` asks it.
"""
