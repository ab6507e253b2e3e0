"""The retriever's knowledge: a few short documents, and a search over them.

The weakness: words are compared, not meanings, and the documents are those in `corpus/`. A vector
store takes their place when there is something to put into it.
"""
