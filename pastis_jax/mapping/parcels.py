class ParcelBlocks:
    def __init__(self, mapper):
        raise NotImplementedError
