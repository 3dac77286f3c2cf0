"""What computes on records and weights; the only storey beside `jobs` that may import torch.

    dataset           records that stay, the root and card that are published, the order of batches
    environment       what makes a replay exact, and whether this host does it
    sandbox           what a process that runs foreign recipes may touch
    operators         kernels, checks and cases of what a graph may do
    model             an `nn.Module` as a graph, and a graph as a program that trains
    losses            what a step lowers, and which predictions hit
    own_optimizers    Lion and LAMB, which torch does not have
    update            how gradients, once they are there, move the weights
    training          the loop, from one state to the next
    fitting           whether graph, recipe and records go together
    private_training  the same with each record's gradient clipped, and noise added
    held_out          what a trained model does on records that nobody trained on
    evaluation        what it does on a table of the scientist's own
    predictions       what it says of each record, in the words and units of the dataset's card
    trained_model     what it is in a program: a module that takes raw rows
    references        a risk report's reference training, leaf by leaf
    risk              attacks on a trained model: was it trained on a record?
    side_by_side      gradients of several records at once, each as if it were computed alone
    checkpoint        states become leaves beside the training

Knows neither keys nor chain.
"""
