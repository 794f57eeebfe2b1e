class InstanceBlocks:
    def __init__(self, mapper):
        raise NotImplementedError
